use serde_json::json;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::super::tests::signing::{EcKey, encoded};
use super::*;

const RECORDED: &str = include_str!("../../../../tests/fixtures/kubernetes/jwks.http");

#[test]
fn a_recorded_key_set_is_parsed() {
    let keys = IssuerKeys::read(RECORDED.rsplit_once("\r\n\r\n").or(RECORDED.rsplit_once("\n\n")).unwrap().1).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), ["ApovO_JVZVJkchhfDMwGahCdNipAlpkFuyhctlinpo4"]);
}

#[test]
fn a_malformed_key_does_not_hide_others() {
    let good = EcKey::new("good").json();
    let set = json!({ "keys": [
        7, {}, "key", { "kty": "oct", "kid": "a", "k": "AAAA" }, { "kty": "RSA", "kid": "b", "n": "!", "e": "AQAB" },
        { "kty": "RSA", "kid": "c", "n": "", "e": "AQAB" }, { "kty": "EC", "kid": "d", "crv": "P-256", "x": "AA", "y": "AA" },
        { "kty": "EC", "kid": "e", "crv": "P-521" }, { "kty": "OKP", "kid": "f", "crv": "Ed25519", "x": "AA" },
        { "kty": "RSA", "kid": "g", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }, good,
    ]});
    let keys = IssuerKeys::read(&set.to_string()).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_key_for_encryption_verifies_no_signature() {
    let mut key = EcKey::new("k1").json();
    key["use"] = json!("enc");
    assert!(IssuerKeys::read(&json!({ "keys": [key] }).to_string()).is_err());
}

#[test]
fn a_key_set_without_a_usable_key_is_an_error() {
    for text in ["", "{}", "[]", "{\"keys\":[]}", "{\"keys\":{}}", "<html>", "{\"keys\":[{\"kty\":\"oct\"}]}"] {
        assert!(IssuerKeys::read(text).is_err(), "{text}");
    }
}

#[test]
fn leading_zeros_of_a_modulus_are_not_part_of_the_number() {
    let plain = json!({ "keys": [{ "kty": "RSA", "kid": "k", "n": "_w", "e": "AQAB" }] });
    let led = json!({ "keys": [{ "kty": "RSA", "kid": "k", "n": "AAD_", "e": "AAEAAQ" }] });
    assert_eq!(IssuerKeys::read(&plain.to_string()), IssuerKeys::read(&led.to_string()));
}

#[test]
fn keys_beyond_the_limit_are_left_out() {
    let keys: Vec<_> = (0..MOST_KEYS + 5).map(|n| EcKey::new(&format!("k{n}")).json()).collect();
    let set = IssuerKeys::read(&json!({ "keys": keys }).to_string()).unwrap();
    assert_eq!(set.ids().count(), MOST_KEYS);
}

#[test]
fn all_keys_with_the_same_id_are_tried() {
    let (first, second) = (EcKey::new("k"), EcKey::new("k"));
    let set = IssuerKeys::read(&json!({ "keys": [first.json(), second.json()] }).to_string()).unwrap();
    let (message, signature) = (b"message", second.signature(b"message"));
    assert_eq!(set.check("k", Algorithm::Es256, message, &signature), Signature::Good);
    assert_eq!(set.check("k", Algorithm::Es256, b"other", &signature), Signature::Wrong);
    assert_eq!(set.check("l", Algorithm::Es256, message, &signature), Signature::KeyUnknown);
}

#[test]
fn the_algorithms_of_issuers_are_known_by_name() {
    let named = ["RS256", "RS384", "RS512", "ES256", "ES384"].map(Algorithm::named);
    let all = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Es256, Algorithm::Es384];
    assert_eq!(named, all.map(Some));
    for name in ["none", "HS256", "PS256", "rs256", ""] {
        assert_eq!(Algorithm::named(name), None, "{name}");
    }
}

#[test]
fn a_p384_key_verifies_es384_and_nothing_else() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
    let key = json!({ "kty": "EC", "kid": "k", "crv": "P-384", "x": encoded(x), "y": encoded(y) });
    let set = IssuerKeys::read(&json!({ "keys": [key] }).to_string()).unwrap();
    let signature = pair.sign(&random, b"message").unwrap();
    let check = |algorithm| set.check("k", algorithm, b"message", signature.as_ref());
    assert_eq!(check(Algorithm::Es384), Signature::Good);
    for other in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Rs384] {
        assert_eq!(check(other), Signature::Wrong, "{other:?}");
    }
}

#[test]
fn a_point_has_two_coordinates_of_the_length_of_its_curve() {
    let set = |x: usize, y: usize| {
        let (x, y) = (encoded(&vec![1; x]), encoded(&vec![1; y]));
        let key = json!({ "kty": "EC", "kid": "k", "crv": "P-256", "x": x, "y": y });
        IssuerKeys::read(&json!({ "keys": [key] }).to_string())
    };
    assert!(set(32, 32).is_ok());
    for (x, y) in [(31, 32), (32, 31), (33, 33), (48, 48)] {
        assert_eq!(set(x, y), Err(KeySetFault::Empty), "{x} {y}");
    }
}

#[test]
fn a_key_set_fault_names_the_supported_algorithms() {
    assert!(IssuerKeys::read("<html>").unwrap_err().to_string().starts_with("no JSON Web Key Set: "));
    let empty = IssuerKeys::read(r#"{"keys":[]}"#).unwrap_err().to_string();
    assert_eq!(empty, "the key set holds no key for RS256, RS384, RS512, ES256 or ES384");
}
