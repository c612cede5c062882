//! Who asks, proven: the ServiceAccount tokens that the kubelet projects into pods, and the keys of their issuer.

pub mod issuer;
pub mod issuer_keys;
pub mod projected_token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Reads base64 for URLs without padding (RFC 4648, section 5), as JSON Web Tokens and Keys have it.
fn base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub mod metadata_token;
#[cfg(test)]
pub(crate) mod tests;
