//! The issuer of ServiceAccount tokens: what is published of it, and the tokens that the kubelet projects into pods.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::super::exchange::{Exchange, Reply, wall_now};
use super::answer::{headers, status};
use super::signing::EcKey;
use super::{Kubernetes, Shared, State};

/// Which of the two documents is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerDocument {
    Configuration,
    KeySet,
}

impl IssuerDocument {
    pub fn of(exchange: &Exchange) -> Option<Self> {
        match exchange.target() {
            "/.well-known/openid-configuration" => Some(Self::Configuration),
            "/openid/v1/jwks" => Some(Self::KeySet),
            _ => None,
        }
    }
}

/// The keys, the first of which signs.
#[derive(Default)]
pub struct Issuer {
    keys: Vec<EcKey>,
    made: usize,
    issued: Vec<String>,
}

impl Issuer {
    fn signer(&mut self) -> &EcKey {
        if self.keys.is_empty() {
            self.made += 1;
            self.keys.push(EcKey::new(&format!("key-{}", self.made)));
        }
        &self.keys[0]
    }
}

impl Kubernetes {
    /// The token that the kubelet projects into a pod, good for ten minutes.
    pub fn token(&self, namespace: &str, name: &str) -> String {
        self.sign(&self.claims(namespace, name))
    }

    /// What such a token claims. Of a pod that isn't there it is a token all the same.
    pub fn claims(&self, namespace: &str, name: &str) -> Value {
        let state = self.shared.state.lock();
        let pod = state.pods.iter().find(|pod| pod.is_named(namespace, name));
        let (uid, account, node) = pod.map_or(("no-such-uid", "default", "node-1"), |pod| pod.bound());
        let now_s = wall_now().unix_seconds();
        json!({
            "aud": ["kube2iam"], "iss": ISSUER, "iat": now_s, "nbf": now_s, "exp": now_s + 600, "jti": "1",
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "kubernetes.io": {
                "namespace": namespace, "pod": { "name": name, "uid": uid },
                "serviceaccount": { "name": account, "uid": "uid-of-account" },
                "node": { "name": node, "uid": "uid-of-node" },
            },
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut state = self.shared.state.lock();
        let token = state.issuer.signer().sign(claims);
        state.issuer.issued.push(token.clone());
        token
    }

    /// Every token so far.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.shared.state.lock().issuer.issued.clone()
    }

    /// From now on tokens are signed with another key, and the old one isn't listed any more.
    pub fn rotate_key(&self) {
        self.change(|state| state.issuer.keys.clear());
    }
}

impl Kubernetes {
    /// Checks a token as whoever has the published keys can, and gives its claims.
    pub fn verifier(&self) -> Verifier {
        let shared = self.shared.clone();
        Arc::new(move |token| {
            let keys: Vec<Value> = shared.state.lock().issuer.keys.iter().map(EcKey::json).collect();
            verified(token, &keys)
        })
    }
}

/// Gives the claims of a token whose signature is good.
pub type Verifier = Arc<dyn Fn(&str) -> Option<Value> + Send + Sync>;

fn verified(token: &str, keys: &[Value]) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    let key = keys.iter().find(|key| key["kid"] == header["kid"] && header["alg"] == "ES256")?;
    // An uncompressed point (SEC 1, section 2.3.3)
    let point = [vec![4], decode(key["x"].as_str()?)?, decode(key["y"].as_str()?)?].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(signed.as_bytes(), &decode(signature)?).ok()?;
    serde_json::from_slice(&decode(claims)?).ok()
}

/// Key sets are given as what they are, and as nothing else.
pub(super) fn answer(shared: &Shared, exchange: Exchange, document: IssuerDocument) {
    let accepted = exchange.header("Accept").unwrap_or_default();
    let content_type = match document {
        IssuerDocument::Configuration => "application/json",
        IssuerDocument::KeySet => "application/jwk-set+json",
    };
    if !accepted.split(',').any(|kind| [content_type, "*/*"].contains(&kind.trim())) {
        return exchange.answer(status(406, "NotAcceptable", "only this is served here"));
    }
    let body = body(&mut shared.state.lock(), document);
    let plain = Reply::new(200, content_type, body);
    exchange.answer(headers().into_iter().fold(plain, |reply, (name, value)| reply.with(name, value)));
}

fn body(state: &mut State, document: IssuerDocument) -> String {
    state.issuer.signer();
    let keys: Vec<Value> = state.issuer.keys.iter().map(EcKey::json).collect();
    let body = match document {
        IssuerDocument::Configuration => json!({
            "issuer": ISSUER, "jwks_uri": "https://192.0.2.10:6443/openid/v1/jwks",
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }),
        IssuerDocument::KeySet => json!({ "keys": keys }),
    };
    body.to_string()
}

pub const ISSUER: &str = "https://kubernetes.default.svc";
