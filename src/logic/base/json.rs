//! The one way in which JSON is read, but for lists that come as a stream, and written. serde makes a parser or printer
//! of its own for each kind of source or target, and code for each struct in each of them.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Error;

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedForm {
    Text,
    /// One JSON object
    Json,
}

/// Reads a whole document.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_str(std::str::from_utf8(bytes).map_err(Error::custom)?)
}

/// Writes a value on one line. None that is written here can fail: all keys are texts.
pub fn text(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_one_line() {
        assert_eq!(text("a\"\n"), r#""a\"\n""#);
        assert_eq!(text(&serde_json::json!({ "b": 1, "a": null })), r#"{"a":null,"b":1}"#);
    }

    #[test]
    fn a_document_is_whole_and_text() {
        assert_eq!(read::<u8>(b" 7 ").unwrap(), 7);
        assert_eq!(read::<u8>(b"7 8").unwrap_err().to_string(), "trailing characters at line 1 column 3");
        assert!(read::<String>(b"\"\xff\"").unwrap_err().to_string().starts_with("invalid utf-8 sequence"));
    }
}
