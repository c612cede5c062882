//! Who asks, proven: the ServiceAccount tokens that the kubelet projects into pods, and the keys of their issuer.

pub mod issuer;
pub mod issuer_keys;
pub mod projected_token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Reads base64 for URLs without padding (RFC 4648, section 5), as JSON Web Tokens and Keys have it. It may be a part of a
/// token, so it is wiped, even if it can be read only in part.
fn base64_url(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    URL_SAFE_NO_PAD.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

pub mod metadata_token;
#[cfg(test)]
pub(crate) mod tests;
