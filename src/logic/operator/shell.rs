//! Words of a command line that is printed for a person to run: whatever a tenant or a flag puts into one, the shell takes
//! it as that one word.

use std::borrow::Cow;

/// `word` as POSIX's shell reads it back (XCU 2.2.2, single-quotes): plain ones as they are, all others in quotes.
pub fn quote(word: &str) -> Cow<'_, str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

/// A whole command line, its words quoted.
pub fn command_line<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_go_unquoted() {
        for (word, quoted) in [
            ("kubectl", "kubectl"),
            ("--role=team/app", "--role=team/app"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(x)", "'$(x)'"),
            ("a'b", r"'a'\''b'"),
            ("~", "'~'"),
            ("*", "'*'"),
            ("\n", "'\n'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
        assert_eq!(command_line(["echo", "a b", "c"]), "echo 'a b' c");
    }
}
