//! Proof of a request's pod: ServiceAccount tokens projected by the kubelet, the keys of their issuer, and IMDSv2
//! session tokens.

pub mod issuer;
pub mod issuer_keys;
pub mod projected_token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Decodes base64 for URLs without padding (RFC 4648, section 5), as in JSON Web Tokens and Keys. It may be part of a
/// token, so the buffer is wiped even if decoding fails.
fn base64_url(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    URL_SAFE_NO_PAD.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

pub mod metadata_token;
#[cfg(test)]
pub(crate) mod tests;
