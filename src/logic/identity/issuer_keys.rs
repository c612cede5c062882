//! The public keys of a cluster's ServiceAccount issuer: a JSON Web Key Set (RFC 7517, section 5), as the API server
//! serves it at `/openid/v1/jwks`.
//!
//! An unsupported or malformed key is skipped without affecting the others. `ring` verifies signatures. The JWT
//! library `jsonwebtoken` was considered: it reads the clock itself and takes the algorithm from the token unless
//! configured otherwise, and all that `ring` leaves to do is one table.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::base64_url;

/// The signature algorithms that a token may name (RFC 7518, section 3.1). `none` and the symmetric ones are
/// excluded: with those, anyone who knows the public key could sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

impl Algorithm {
    /// The algorithm with this name in a token's header.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            _ => return None,
        })
    }
}

/// The result of a signature check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Good,
    Wrong,
    /// The set has no key with this ID: a newer set may.
    KeyUnknown,
}

/// Why a key set is unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetFault {
    Unreadable(String),
    /// A valid key set without any usable key
    Empty,
}

impl fmt::Display for KeySetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(cause) => write!(f, "no JSON Web Key Set: {cause}"),
            Self::Empty => f.write_str("the key set holds no key for RS256, RS384, RS512, ES256 or ES384"),
        }
    }
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerKeys(Vec<IssuerKey>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct IssuerKey {
    id: String,
    /// The only algorithm that the issuer uses the key with, if it names one
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed points (SEC 1, section 2.3.3)
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl IssuerKeys {
    /// Parses a key set. Fails if it isn't one or has no usable key.
    pub fn read(json: &str) -> Result<Self, KeySetFault> {
        let set: KeySetJson<'_> =
            serde_json::from_str(json).map_err(|error| KeySetFault::Unreadable(error.to_string()))?;
        let keys: Vec<IssuerKey> = set.keys.iter().take(MOST_KEYS).filter_map(|key| IssuerKey::read(key)).collect();
        if keys.is_empty() { Err(KeySetFault::Empty) } else { Ok(Self(keys)) }
    }

    /// The key IDs, in the set's order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Checks `signature` over `message` with the keys of this ID. Several keys may share an ID; one match is enough.
    pub fn check(&self, key_id: &str, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Signature {
        let mut found = Signature::KeyUnknown;
        for key in self.0.iter().filter(|key| key.id == key_id) {
            if key.verifies(algorithm, message, signature) {
                return Signature::Good;
            }
            found = Signature::Wrong;
        }
        found
    }
}

impl IssuerKey {
    fn read(json: &RawValue) -> Option<Self> {
        let key: KeyJson = serde_json::from_str(json.get()).ok()?;
        let only = match key.alg.as_deref() {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        if key.key_use.as_deref().is_some_and(|purpose| purpose != "sig") || key.kid.is_empty() {
            return None;
        }
        Some(Self { id: key.kid, only, material: Material::read(&key.kty, &key.fields)? })
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.only.is_none_or(|only| only == algorithm) && self.material.verifies(algorithm, message, signature)
    }
}

impl Material {
    fn read(kind: &str, fields: &FieldsJson) -> Option<Self> {
        match (kind, fields.crv.as_deref()) {
            ("RSA", _) => Some(Self::Rsa { modulus: number(&fields.n)?, exponent: number(&fields.e)? }),
            ("EC", Some("P-256")) => Some(Self::P256(point(fields, 32)?)),
            ("EC", Some("P-384")) => Some(Self::P384(point(fields, 48)?)),
            _ => None,
        }
    }

    /// Verifies a signature. A key of one kind never verifies an algorithm of another.
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters: &RsaParameters| match self {
            Self::Rsa { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }
            Self::P256(_) | Self::P384(_) => false,
        };
        let on_curve = |curve: &'static EcdsaVerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok()
        };
        match (algorithm, self) {
            (Algorithm::Rs256, _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Es256, Self::P256(point)) => on_curve(&ECDSA_P256_SHA256_FIXED, point),
            (Algorithm::Es384, Self::P384(point)) => on_curve(&ECDSA_P384_SHA384_FIXED, point),
            (Algorithm::Es256 | Algorithm::Es384, _) => false,
        }
    }
}

/// A big-endian number without leading zeros, as `ring` requires; some issuers write them.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = base64_url(text)?;
    let leading = bytes.iter().take_while(|byte| **byte == 0).count();
    (leading < bytes.len()).then(|| bytes[leading..].to_vec())
}

fn point(fields: &FieldsJson, coordinate_bytes: usize) -> Option<Vec<u8>> {
    let (x, y) = (base64_url(&fields.x)?, base64_url(&fields.y)?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return None;
    }
    Some([&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat())
}

#[derive(Deserialize)]
struct KeySetJson<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct KeyJson {
    #[serde(default)]
    kid: String,
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    key_use: Option<String>,
    #[serde(flatten)]
    fields: FieldsJson,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldsJson {
    crv: Option<String>,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// An issuer has one key, or two during a rotation; some clusters keep a few old ones.
const MOST_KEYS: usize = 64;
/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests;
