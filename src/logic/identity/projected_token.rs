//! A projected ServiceAccount token: a JSON Web Token (RFC 7519) signed by the cluster, which names the pod it was
//! projected into. It is verified here without a call to the API server.
//!
//! Checks run in the order of increasing trust: format, algorithm, signature, and only then the claims. Errors
//! contain no part of a token.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::base64_url;
use super::issuer_keys::{Algorithm, IssuerKeys, Signature};
use crate::logic::base::time::Wall;
use crate::logic::request::message::ShownToken;

/// The pod that a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenPod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub service_account: String,
    /// The node that the pod was bound to; the API server includes it from Kubernetes 1.32 on
    pub node: Option<String>,
    /// The token expires at this time
    pub expires: Wall,
}

/// Why a token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not a JSON Web Token, or one with an unsupported algorithm
    Malformed,
    /// Signed with a key that isn't in the set: a newer set may have it
    KeyUnknown,
    WrongSignature,
    /// Signed with a key of the set for another issuer: the issuer may have been renamed, and newer documents may
    /// show that
    WrongIssuer,
    WrongAudience,
    /// Expired, or not valid yet
    Expired,
    /// For a ServiceAccount without a pod
    Unbound,
}

/// The requirements for a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenRules<'a> {
    pub keys: &'a IssuerKeys,
    pub issuer: &'a str,
    /// The token must be for one of these
    pub audiences: &'a [String],
}

/// Parses the value of an `Authorization` header and checks its token.
pub fn check(header: &[u8], rules: TokenRules<'_>, now: Wall) -> Result<ProvenPod, TokenFault> {
    let token = ShownToken::new(header).bare().ok_or(TokenFault::Malformed)?;
    let parts = Parts::split(token).ok_or(TokenFault::Malformed)?;
    match rules.keys.check(&parts.header.kid, parts.algorithm, parts.signed, &parts.signature) {
        Signature::Good => {}
        Signature::Wrong => return Err(TokenFault::WrongSignature),
        Signature::KeyUnknown => return Err(TokenFault::KeyUnknown),
    }
    parts.claims.judge(rules, now)
}

/// A parsed token that hasn't been verified.
struct Parts<'a> {
    header: HeaderJson,
    algorithm: Algorithm,
    claims: ClaimsJson,
    /// Header and claims, the bytes under the signature
    signed: &'a [u8],
    signature: Zeroizing<Vec<u8>>,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Option<Self> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: HeaderJson = serde_json::from_slice(&base64_url(header)?).ok()?;
        // RFC 7515, section 4.1.11: critical extensions must be understood, and none is supported.
        if header.crit.is_some() {
            return None;
        }
        let algorithm = Algorithm::named(&header.alg)?;
        let claims = serde_json::from_slice(&base64_url(claims)?).ok()?;
        Some(Self { header, algorithm, claims, signed: signed.as_bytes(), signature: base64_url(signature)? })
    }
}

impl ClaimsJson {
    fn judge(self, rules: TokenRules<'_>, now: Wall) -> Result<ProvenPod, TokenFault> {
        let wanted = |audience: &String| rules.audiences.contains(audience);
        if self.iss.as_deref() != Some(rules.issuer) {
            return Err(TokenFault::WrongIssuer);
        }
        if !self.aud.all().iter().any(wanted) {
            return Err(TokenFault::WrongAudience);
        }
        let expires = Wall::from_unix_seconds(self.exp.ok_or(TokenFault::Malformed)?);
        let begins = self.nbf.map(Wall::from_unix_seconds);
        if now >= expires.after(LEEWAY) || begins.is_some_and(|begins| now.after(LEEWAY) < begins) {
            return Err(TokenFault::Expired);
        }
        let bound = self.kubernetes.ok_or(TokenFault::Unbound)?;
        let pod = bound.pod.filter(|pod| !pod.uid.is_empty()).ok_or(TokenFault::Unbound)?;
        let account = bound.serviceaccount.ok_or(TokenFault::Unbound)?;
        Ok(ProvenPod {
            namespace: bound.namespace,
            name: pod.name,
            uid: pod.uid,
            service_account: account.name,
            node: bound.node.map(|node| node.name),
            expires,
        })
    }
}

#[derive(Deserialize)]
struct HeaderJson {
    alg: String,
    #[serde(default)]
    kid: String,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct ClaimsJson {
    iss: Option<String>,
    #[serde(default)]
    aud: AudienceJson,
    /// Whole seconds, as Kubernetes writes them
    #[serde(default, deserialize_with = "seconds")]
    exp: Option<i64>,
    #[serde(default, deserialize_with = "seconds")]
    nbf: Option<i64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<BoundJson>,
}

/// RFC 7519, section 4.1.3: a single audience may be a plain string.
#[derive(Deserialize)]
#[serde(untagged)]
enum AudienceJson {
    One(String),
    Several(Vec<String>),
}

impl AudienceJson {
    fn all(&self) -> &[String] {
        match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Several(audiences) => audiences,
        }
    }
}

impl Default for AudienceJson {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[derive(Deserialize)]
struct BoundJson {
    namespace: String,
    pod: Option<NamedJson>,
    serviceaccount: Option<NamedJson>,
    node: Option<NamedJson>,
}

#[derive(Deserialize)]
struct NamedJson {
    name: String,
    #[serde(default)]
    uid: String,
}

/// Seconds since the Unix epoch in the range of valid dates.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    if (0..=LATEST_S).contains(&seconds) { Ok(Some(seconds)) } else { Err(serde::de::Error::custom("no date")) }
}

/// Tolerated clock skew between nodes.
const LEEWAY: Duration = Duration::from_secs(30);
/// Real tokens have 1,000 to 2,000 characters. The limit of a request head applies too.
const LONGEST_TOKEN: usize = 8 * 1_024;
/// The end of the year 9999.
const LATEST_S: i64 = 253_402_300_799;

#[cfg(test)]
mod tests;
