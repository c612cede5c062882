//! A value that must not be shown: no `Display`, no `Serialize`, a redacted `Debug`; wiped on drop. And texts of
//! servers that received such values, with the secrets removed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Holds key material, accessible only through [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for signing or rendering it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A text from a server that received `secrets`, with every piece of them removed: a server may repeat what it
/// received, whole or truncated. Call this before truncating the text, which could leave a piece too short to be
/// recognised.
pub fn without_secrets<'t>(text: &'t str, secrets: &[&str]) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    let mut hidden = vec![false; bytes.len()];
    for secret in secrets.iter().map(|secret| secret.as_bytes()).filter(|secret| !secret.is_empty()) {
        let length = secret.len().min(SHORTEST_PIECE);
        let pieces: HashSet<&[u8]> = secret.windows(length).collect();
        for (at, _) in bytes.windows(length).enumerate().filter(|(_, window)| pieces.contains(window)) {
            hidden[at..at + length].fill(true);
        }
    }
    if !hidden.contains(&true) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, letter) in text.char_indices() {
        let is_hidden = hidden[at..at + letter.len_utf8()].contains(&true);
        match (is_hidden, was_hidden) {
            (false, _) => clean.push(letter),
            (true, false) => clean.push_str("[secret]"),
            (true, true) => {}
        }
        was_hidden = is_hidden;
    }
    Cow::Owned(clean)
}

/// Length in bytes. A shorter piece reveals nothing about a key or a token, and may occur in any text; a shorter
/// secret is one piece.
const SHORTEST_PIECE: usize = 16;

#[cfg(test)]
mod tests;
