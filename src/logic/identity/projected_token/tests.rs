use serde_json::{Value, json};

use super::super::issuer_keys::IssuerKeys;
use super::super::tests::signing::{EcKey, encoded, unsigned};
use super::super::tests::{key_set, rsa_key_set};
use super::*;

const RECORDED: &str = include_str!("../../../../tests/fixtures/kubernetes/projected-token.txt");
const KEY_SET: &str = include_str!("../../../../tests/fixtures/kubernetes/jwks.http");
const ISSUER: &str = "https://kubernetes.default.svc";
/// A time within the recorded token's lifetime.
const THEN: Wall = Wall::from_unix_seconds(1_795_980_100);

fn audiences() -> Vec<String> {
    vec!["kube2iam".to_owned()]
}

fn recorded_keys() -> IssuerKeys {
    IssuerKeys::read(KEY_SET.rsplit_once("\r\n\r\n").or(KEY_SET.rsplit_once("\n\n")).unwrap().1).unwrap()
}

fn recorded_token() -> &'static str {
    RECORDED.lines().nth(1).unwrap().split('{').next().unwrap()
}

fn check_at(token: &str, keys: &IssuerKeys, now: Wall) -> Result<ProvenPod, TokenFault> {
    let audiences = audiences();
    check(token.as_bytes(), TokenRules { keys, issuer: ISSUER, audiences: &audiences }, now)
}

fn claims() -> Value {
    json!({
        "aud": ["kube2iam"], "iss": ISSUER, "sub": "system:serviceaccount:shop:default", "jti": "1",
        "exp": 1_000_600, "nbf": 1_000_000, "iat": 1_000_000,
        "kubernetes.io": {
            "namespace": "shop",
            "pod": { "name": "web-1", "uid": "uid-1" },
            "serviceaccount": { "name": "default", "uid": "uid-2" },
            "node": { "name": "node-1", "uid": "uid-3" },
        },
    })
}

fn with(path: &[&str], value: Value) -> Value {
    let mut all = claims();
    let mut at = &mut all;
    for step in path {
        at = &mut at[*step];
    }
    *at = value;
    all
}

fn without(name: &str) -> Value {
    let mut all = claims();
    all.as_object_mut().unwrap().remove(name);
    all
}

fn judged(claims: &Value) -> Result<ProvenPod, TokenFault> {
    let key = EcKey::new("k1");
    check_at(&key.sign(claims), &key_set(&key), Wall::from_unix_seconds(1_000_100))
}

#[test]
fn a_recorded_token_is_verified_with_the_recorded_keys() {
    let proven = check_at(recorded_token(), &recorded_keys(), THEN).unwrap();
    assert_eq!((&*proven.namespace, &*proven.name), ("default", "placed"));
    assert_eq!(proven.uid, "60a1ffc3-63fe-4342-aa8b-d2f435782e7b");
    assert_eq!(proven.service_account, "default");
    assert_eq!(proven.node.as_deref(), Some("node-1"));
    assert_eq!(proven.expires, Wall::from_unix_seconds(1_795_980_606));
}

#[test]
fn bearer_before_the_token_is_tolerated() {
    assert!(check_at(&format!("Bearer {}", recorded_token()), &recorded_keys(), THEN).is_ok());
    assert!(check_at(&format!(" {}\t", recorded_token()), &recorded_keys(), THEN).is_ok());
    let basic = format!("Basic {}", recorded_token());
    assert_eq!(check_at(&basic, &recorded_keys(), THEN), Err(TokenFault::Malformed));
}

#[test]
fn a_token_with_any_changed_character_is_invalid() {
    let (keys, token) = (recorded_keys(), recorded_token());
    for at in (0..token.len()).step_by(7).filter(|at| token.as_bytes()[*at] != b'.') {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = [&token[..at], other, &token[at + 1..]].concat();
        assert!(check_at(&forged, &keys, THEN).is_err(), "{at}");
    }
}

#[test]
fn every_truncated_token_is_invalid() {
    let (keys, token) = (recorded_keys(), recorded_token());
    for end in 0..token.len() {
        assert!(check_at(&token[..end], &keys, THEN).is_err(), "{end}");
    }
}

#[test]
fn expiry_is_exclusive_with_half_a_minute_of_leeway() {
    let at = |seconds: i64| check_at(recorded_token(), &recorded_keys(), Wall::from_unix_seconds(seconds)).err();
    assert_eq!(at(1_795_980_606 + 29), None);
    assert_eq!(at(1_795_980_606 + 30), Some(TokenFault::Expired));
    assert_eq!(at(1_795_980_006 - 30), None);
    assert_eq!(at(1_795_980_006 - 31), Some(TokenFault::Expired));
}

#[test]
fn each_wrong_claim_has_its_own_fault() {
    let cases: Vec<(Value, TokenFault)> = vec![
        (with(&["iss"], json!("https://elsewhere")), TokenFault::WrongIssuer),
        (without("iss"), TokenFault::WrongIssuer),
        (with(&["aud"], json!(["sts.amazonaws.com"])), TokenFault::WrongAudience),
        (with(&["aud"], json!([])), TokenFault::WrongAudience),
        (without("aud"), TokenFault::WrongAudience),
        (with(&["aud"], json!(["kube2iam-other", "kube2iam "])), TokenFault::WrongAudience),
        (with(&["aud"], json!(7)), TokenFault::Malformed),
        (with(&["exp"], json!(1_000_000)), TokenFault::Expired),
        (with(&["exp"], json!("1000600")), TokenFault::Malformed),
        (with(&["exp"], json!(-1)), TokenFault::Malformed),
        (with(&["exp"], json!(1e300)), TokenFault::Malformed),
        (with(&["exp"], json!(i64::MAX)), TokenFault::Malformed),
        (without("exp"), TokenFault::Malformed),
        (with(&["nbf"], json!(1_000_200)), TokenFault::Expired),
        (with(&["nbf"], json!("1000000")), TokenFault::Malformed),
        (without("kubernetes.io"), TokenFault::Unbound),
        (with(&["kubernetes.io"], json!("shop")), TokenFault::Malformed),
        (with(&["kubernetes.io", "pod"], Value::Null), TokenFault::Unbound),
        (with(&["kubernetes.io", "pod"], json!({ "name": "web-1" })), TokenFault::Unbound),
        (with(&["kubernetes.io", "pod", "uid"], json!("")), TokenFault::Unbound),
        (with(&["kubernetes.io", "pod", "uid"], json!(1)), TokenFault::Malformed),
        (with(&["kubernetes.io", "serviceaccount"], Value::Null), TokenFault::Unbound),
        (with(&["kubernetes.io", "namespace"], Value::Null), TokenFault::Malformed),
    ];
    for (claims, fault) in cases {
        assert_eq!(judged(&claims), Err(fault), "{claims}");
    }
    assert!(judged(&claims()).is_ok());
}

#[test]
fn optional_and_additional_claims_are_accepted() {
    assert!(judged(&with(&["aud"], json!("kube2iam"))).is_ok());
    assert!(judged(&with(&["aud"], json!(["other", "kube2iam"]))).is_ok());
    assert!(judged(&without("nbf")).is_ok());
    assert!(judged(&with(&["kubernetes.io", "warnafter"], json!(1))).is_ok());
    assert_eq!(judged(&with(&["kubernetes.io", "node"], Value::Null)).unwrap().node, None);
}

#[test]
fn duplicate_json_names_are_malformed() {
    let key = EcKey::new("k1");
    let text = claims().to_string();
    let twice = text.replacen('{', r#"{"aud":["other"],"#, 1);
    let pods = text.replace(r#""pod":"#, r#""pod":{"name":"other","uid":"other"},"pod":"#);
    for claims in [twice, pods] {
        let token = key.sign_text(r#"{"alg":"ES256","kid":"k1"}"#, &claims);
        assert_eq!(check_at(&token, &key_set(&key), Wall::from_unix_seconds(1_000_100)), Err(TokenFault::Malformed));
    }
}

#[test]
fn only_public_key_algorithms_are_accepted() {
    let keys = recorded_keys();
    let id = keys.ids().next().unwrap().to_owned();
    for algorithm in ["none", "None", "", "HS256", "HS512", "PS256", "EdDSA", "ES512", "rs256"] {
        let token = unsigned(&json!({ "alg": algorithm, "kid": id }), &claims());
        assert_eq!(check_at(&token, &keys, THEN), Err(TokenFault::Malformed), "{algorithm}");
    }
    for header in
        [json!({ "kid": id }), json!({ "alg": 1, "kid": id }), json!([]), json!({ "alg": "RS256", "crit": ["b64"] })]
    {
        assert_eq!(check_at(&unsigned(&header, &claims()), &keys, THEN), Err(TokenFault::Malformed), "{header}");
    }
}

#[test]
fn a_mac_with_the_public_key_is_no_signature() {
    let keys = recorded_keys();
    let id = keys.ids().next().unwrap().to_owned();
    let public = KEY_SET.split(r#""n":""#).nth(1).unwrap().split('"').next().unwrap();
    let mac_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    for algorithm in ["HS256", "RS256", "ES256"] {
        let signed = unsigned(&json!({ "alg": algorithm, "kid": id }), &claims());
        let signed = signed.trim_end_matches('.');
        let token = format!("{signed}.{}", encoded(ring::hmac::sign(&mac_key, signed.as_bytes()).as_ref()));
        let fault = if algorithm == "HS256" { TokenFault::Malformed } else { TokenFault::WrongSignature };
        assert_eq!(check_at(&token, &keys, THEN), Err(fault), "{algorithm}");
    }
}

#[test]
fn a_key_verifies_only_tokens_that_name_its_id_and_kind() {
    let (ours, other) = (EcKey::new("ours"), EcKey::new("other"));
    let now = Wall::from_unix_seconds(1_000_100);
    let under = |header: Value| ours.sign_text(&header.to_string(), &claims().to_string());
    let fault = |header: Value, keys: &IssuerKeys| check_at(&under(header), keys, now).err();
    assert_eq!(fault(json!({ "alg": "ES256", "kid": "ours" }), &key_set(&ours)), None);
    assert_eq!(fault(json!({ "alg": "ES256", "kid": "ours" }), &key_set(&other)), Some(TokenFault::KeyUnknown));
    assert_eq!(fault(json!({ "alg": "ES256", "kid": "other" }), &key_set(&other)), Some(TokenFault::WrongSignature));
    assert_eq!(fault(json!({ "alg": "ES256" }), &key_set(&ours)), Some(TokenFault::KeyUnknown));
    assert_eq!(fault(json!({ "alg": "ES384", "kid": "ours" }), &key_set(&ours)), Some(TokenFault::WrongSignature));
    let rsa = rsa_key_set("ours");
    assert_eq!(fault(json!({ "alg": "ES256", "kid": "ours" }), &rsa), Some(TokenFault::WrongSignature));
    assert_eq!(fault(json!({ "alg": "RS256", "kid": "ours" }), &rsa), Some(TokenFault::WrongSignature));
}

#[test]
fn a_key_embedded_in_the_token_is_ignored() {
    let (ours, theirs) = (EcKey::new("k1"), EcKey::new("k1"));
    let header = json!({ "alg": "ES256", "kid": "k1", "jwk": theirs.json(), "jku": "http://203.0.113.1/keys" });
    let token = theirs.sign_text(&header.to_string(), &claims().to_string());
    assert_eq!(check_at(&token, &key_set(&ours), Wall::from_unix_seconds(1_000_100)), Err(TokenFault::WrongSignature));
}

#[test]
fn other_texts_are_malformed_tokens() {
    let keys = recorded_keys();
    let huge = "a".repeat(LONGEST_TOKEN + 1);
    let deep = format!("{}.{}.AA", encoded(b"{\"alg\":\"RS256\",\"kid\":"), encoded("[".repeat(4_000).as_bytes()));
    for token in ["", ".", "..", "...", "a.b.c", "Bearer", "Bearer ", "\u{0}.\u{0}.\u{0}", "é.é.é", &huge, &deep] {
        assert_eq!(check_at(token, &keys, THEN), Err(TokenFault::Malformed), "{:.40}", token);
    }
    let padded = recorded_token().replacen('.', "=.", 1);
    assert_eq!(check_at(&padded, &keys, THEN), Err(TokenFault::Malformed));
    let four = format!("{}.AAAA", recorded_token());
    assert_eq!(check_at(&four, &keys, THEN), Err(TokenFault::Malformed));
}

#[test]
fn a_token_is_read_up_to_its_greatest_length() {
    let claims = encoded(claims().to_string().as_bytes());
    // padded with blanks between the braces of its header until the lengths are those of base64
    let sized = |length: usize| {
        let blanks = (0..4).map(|blanks| format!(r#"{{"alg":"ES256",{}"kid":"k"}}"#, " ".repeat(blanks)));
        let mut headers = blanks.map(|header| format!("{}.{claims}.", encoded(header.as_bytes())));
        let head = headers.find(|head| (length - head.len()).is_multiple_of(4)).unwrap();
        format!("{head}{}", "A".repeat(length - head.len()))
    };
    let found = |length| check_at(&sized(length), &recorded_keys(), THEN).err();
    assert_eq!([found(8_192), found(8_196)], [Some(TokenFault::KeyUnknown), Some(TokenFault::Malformed)]);
    assert_eq!(check_at(&format!("{}A", sized(8_192)), &recorded_keys(), THEN).err(), Some(TokenFault::Malformed));
}
