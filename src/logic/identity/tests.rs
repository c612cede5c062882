//! An issuer for this module's tests.

use serde_json::json;

use super::issuer_keys::IssuerKeys;
use signing::{EcKey, encoded};

pub(crate) fn key_set(key: &EcKey) -> IssuerKeys {
    IssuerKeys::read(&key.key_set_json()).unwrap()
}

/// A set of one RSA key without a private key.
pub(crate) fn rsa_key_set(id: &str) -> IssuerKeys {
    let key = json!({ "kty": "RSA", "kid": id, "n": encoded(&[0xFF; 256]), "e": "AQAB" });
    IssuerKeys::read(&json!({ "keys": [key] }).to_string()).unwrap()
}

#[test]
fn the_decoded_parts_of_a_token_are_in_wiped_buffers() {
    let decoded: zeroize::Zeroizing<Vec<u8>> = super::base64_url("c2lnbmF0dXJl").unwrap();
    assert_eq!(decoded.as_slice(), b"signature");
    assert!(super::base64_url("c2lnbmF0dXJl=").is_none() && super::base64_url("c+").is_none());
}

pub(crate) mod signing;
