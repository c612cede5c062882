//! The one way in which JSON is read, but for lists that come as a stream: as text that is there. serde makes a parser
//! of its own for each kind of source, and a reader of each struct for each parser.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Error;

/// Reads a whole document.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_str(std::str::from_utf8(bytes).map_err(Error::custom)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_whole_and_text() {
        assert_eq!(read::<u8>(b" 7 ").unwrap(), 7);
        assert_eq!(read::<u8>(b"7 8").unwrap_err().to_string(), "trailing characters at line 1 column 3");
        assert!(read::<String>(b"\"\xff\"").unwrap_err().to_string().starts_with("invalid utf-8 sequence"));
    }
}
