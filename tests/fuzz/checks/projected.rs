//! ServiceAccount tokens: only what the issuer signed is taken, and it proves what it says; key sets are read or refused.

use std::sync::OnceLock;

use kube2iam::for_tests::{
    Issuer, IssuerDocuments, IssuerKeys, ProvenPod, TokenFault, TokenRules, Wall, check_projected_token,
};
use serde_json::Value;

use super::signing::EcKey;

/// The value of `Authorization`, or what a token claims, or its header, or a key set.
pub(crate) fn check(bytes: &[u8]) {
    let (key, keys) = issuer();
    assert!(proven(bytes, keys).is_err(), "nobody signed {bytes:?}");
    let text = String::from_utf8_lossy(bytes);
    claims(&text, key, keys);
    header(&text, key, keys);
    key_set(&text);
}

fn proven(value: &[u8], keys: &IssuerKeys) -> Result<ProvenPod, TokenFault> {
    let audiences = ["kube2iam".to_owned()];
    check_projected_token(value, TokenRules { keys, issuer: ISSUER, audiences: &audiences }, NOW)
}

/// Whatever is signed proves no more than it says.
fn claims(text: &str, key: &EcKey, keys: &IssuerKeys) {
    let token = key.sign_text(HEADER, text);
    let found = proven(token.as_bytes(), keys);
    assert!(!matches!(found, Err(TokenFault::KeyUnknown | TokenFault::WrongSignature)), "{text}");
    let Ok(proven) = found else { return };
    let said: Value = serde_json::from_str(text).expect("what proves a pod is JSON");
    let bound = &said["kubernetes.io"];
    assert_eq!(said["iss"], ISSUER);
    assert!(said["aud"] == "kube2iam" || said["aud"].as_array().is_some_and(|all| all.contains(&"kube2iam".into())));
    assert!(said["exp"].as_i64().is_some_and(|exp| exp + 30 > NOW.unix_seconds()), "{text}");
    assert!(said["nbf"].is_null() || said["nbf"].as_i64().is_some_and(|nbf| nbf - 30 <= NOW.unix_seconds()), "{text}");
    assert_eq!((&bound["pod"]["uid"], &bound["pod"]["name"]), (&proven.uid.clone().into(), &proven.name.into()));
    assert_eq!(bound["namespace"], proven.namespace);
    assert_eq!(bound["serviceaccount"]["name"], proven.service_account);
    assert_eq!(bound["node"]["name"].as_str(), proven.node.as_deref());
    assert!(!proven.uid.is_empty());
}

/// A good signature counts under its own algorithm and its own key alone.
fn header(text: &str, key: &EcKey, keys: &IssuerKeys) {
    let token = key.sign_text(text, GOOD);
    if proven(token.as_bytes(), keys).is_ok() {
        let said: Value = serde_json::from_str(text).expect("a header is JSON");
        assert!(
            said["alg"] == "ES256" && said["kid"] == KEY_ID && said.get("crit").is_none_or(Value::is_null),
            "{text}"
        );
    }
}

/// What is taken for an issuer's keys is kept word by word.
fn key_set(text: &str) {
    let configuration = format!(r#"{{"issuer":"{ISSUER}"}}"#);
    let documents = IssuerDocuments { configuration, key_set: text.to_owned() };
    let Ok(issuer) = Issuer::read(&documents, NOW) else { return };
    assert!(issuer.keys.ids().all(|id| !id.is_empty()) && issuer.keys.ids().count() <= 64);
    let again = Issuer::from_record(&issuer.to_record()).expect("a record that was written is read");
    assert!(again.agrees_with(&issuer));
    assert!(proven(text.as_bytes(), &issuer.keys).is_err());
}

fn issuer() -> &'static (EcKey, IssuerKeys) {
    static ISSUER: OnceLock<(EcKey, IssuerKeys)> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let key = EcKey::new(KEY_ID);
        let keys = IssuerKeys::read(&key.key_set_json()).expect("a set of one key");
        (key, keys)
    })
}

const NOW: Wall = Wall::from_unix_seconds(1_800_000_000);
const ISSUER: &str = "https://kubernetes.default.svc";
const KEY_ID: &str = "k1";
const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
const GOOD: &str = r#"{"iss":"https://kubernetes.default.svc","aud":["kube2iam"],"exp":1800000600,"kubernetes.io":{"namespace":"shop","pod":{"name":"web","uid":"u"},"serviceaccount":{"name":"app"}}}"#;
