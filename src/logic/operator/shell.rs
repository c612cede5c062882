//! Quoting for commands that are printed for a person to run: any text of a tenant or a flag stays a single word.

use std::borrow::Cow;

/// `word` quoted for a POSIX shell (XCU 2.2.2, single-quotes), unless it is plain.
pub fn quote(word: &str) -> Cow<'_, str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

/// A command line with quoted words.
pub fn command_line<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
