//! JSON parsing and printing, except for streamed lists. serde generates a parser or printer for each kind of source
//! or target, and code per struct in each, so all use one of each.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Error;

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedForm {
    Text,
    /// One JSON object
    Json,
}

/// Parses a complete document.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_str(std::str::from_utf8(bytes).map_err(Error::custom)?)
}

/// Prints a value on one line. This can't fail for the values used here: all map keys are strings.
pub fn text(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
