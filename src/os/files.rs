//! Reads small files that other programs write and replace: tokens, certificates, kubeconfigs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::logic::base::secret::Secret;

/// The text of `path`, or why it can't be read.
pub(crate) fn read_text(path: &str) -> Result<Secret<String>, String> {
    let wrong = |cause: &dyn std::fmt::Display| format!("failed to read `{path}`: {cause}");
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TEXT_BYTES + 1));
    let file = File::open(path).map_err(|error| wrong(&error))?;
    file.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(wrong(&"it is longer than a token"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"it is not text"))?;
    if text.is_empty() { Err(wrong(&"it is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

/// The bytes of `path`.
pub(crate) fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let wrong = |cause: &dyn std::fmt::Display| format!("failed to read `{}`: {cause}", path.display());
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| wrong(&error))?;
    file.take(MAX_BUNDLE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > MAX_BUNDLE_BYTES { Err(wrong(&"it is longer than 4 MiB")) } else { Ok(bytes) }
}

/// Bytes. CA bundles are the largest of these files, below 1 MiB.
const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes. STS accepts web identity tokens of up to 20,000 characters.
const MAX_TEXT_BYTES: usize = 32 * 1024;
