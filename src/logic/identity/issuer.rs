//! The cluster's ServiceAccount issuer: its name and its keys, as the API server publishes them (OpenID Connect
//! Discovery 1.0, section 3), and the record that keeps them across restarts.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::issuer_keys::{IssuerKeys, KeySetFault};
use crate::logic::base::json;
use crate::logic::base::time::Wall;

/// Both documents as the API server serves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerDocuments {
    /// `/.well-known/openid-configuration`
    pub configuration: String,
    /// `/openid/v1/jwks`
    pub key_set: String,
}

/// An issuer's name and keys.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The `iss` claim of its tokens
    pub name: String,
    pub keys: IssuerKeys,
    /// When they were last read from the API server
    pub read: Wall,
    /// The key set's array, verbatim, for the record
    written: Box<RawValue>,
}

/// Why the documents describe no usable issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerFault {
    Unreadable(String),
    /// The API server lists no key that could have signed a token
    NoKeys,
}

impl Issuer {
    /// Parses the documents of the API server.
    pub fn read(documents: &IssuerDocuments, now: Wall) -> Result<Self, IssuerFault> {
        let configuration: ConfigurationJson = json::read(documents.configuration.as_bytes())
            .map_err(|error| IssuerFault::Unreadable(format!("no OpenID configuration: {error}")))?;
        Self::of(configuration.issuer, &documents.key_set, now)
    }

    /// Parses a record; `None` if it is malformed.
    pub fn from_record(text: &str) -> Option<Self> {
        let record: RecordJson = serde_json::from_str(text).ok()?;
        Self::of(record.issuer, text, Wall::parse_rfc3339(&record.read)?).ok()
    }

    /// The record that [`Issuer::from_record`] parses.
    pub fn to_record(&self) -> String {
        let read = self.read.rfc3339();
        let (issuer, read) = (json::text(&self.name), json::text(&read));
        format!("{{\"issuer\":{issuer},\"read\":{read},\"keys\":{}}}\n", self.written)
    }

    /// Whether name and keys are equal, regardless of when they were read.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.name == other.name && self.keys == other.keys
    }

    fn of(name: String, key_set: &str, read: Wall) -> Result<Self, IssuerFault> {
        if !(1..=LONGEST_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(IssuerFault::Unreadable("the issuer has no name that a token could carry".to_owned()));
        }
        let keys = IssuerKeys::read(key_set).map_err(|fault| match fault {
            KeySetFault::Empty => IssuerFault::NoKeys,
            fault => IssuerFault::Unreadable(fault.to_string()),
        })?;
        let raw: KeysJson =
            serde_json::from_str(key_set).map_err(|error| IssuerFault::Unreadable(error.to_string()))?;
        Ok(Self { name, keys, read, written: raw.keys })
    }
}

#[derive(Deserialize)]
struct ConfigurationJson {
    issuer: String,
}

#[derive(Deserialize)]
struct RecordJson {
    issuer: String,
    read: String,
}

#[derive(Deserialize, Serialize)]
struct KeysJson {
    keys: Box<RawValue>,
}

/// Limit of the name in bytes; issuers are URLs.
const LONGEST_NAME: usize = 2_048;
/// Limit of each document in bytes. A key takes about a kilobyte, and a cluster has few.
pub const LONGEST_DOCUMENT: usize = 128 * 1_024;
/// Limit of a record in bytes: a key set and a JSON-escaped name.
pub const LONGEST_RECORD: usize = LONGEST_DOCUMENT + 16 * 1_024;

#[cfg(test)]
mod tests;
