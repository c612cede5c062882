//! The JSON credentials documents of the metadata service and of container endpoints.
//!
//! Both report some failures with status 200 and a `Code`. A failure repeats only the document's code and message,
//! without secrets of the document or the request.

use serde::{Deserialize, Deserializer};

use super::Credentials;
use crate::logic::base::secret::{Secret, without_secrets};
use crate::logic::base::time::Wall;

/// Why a document contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFailure {
    /// The document's code (`AssumeRoleUnauthorizedAccess`), or `Unreadable`
    pub code: String,
    pub message: String,
}

/// Parses `iam/security-credentials/ROLE`: `Code` must be `Success`, in any case, and all parts of a session must be
/// present. The expiration isn't checked: during an outage the service extends sessions beyond it.
pub fn read_instance_document(text: &str) -> Result<Credentials, DocumentFailure> {
    let mut document = parse(text)?;
    match document.code.as_deref() {
        Some(code) if code.eq_ignore_ascii_case("success") => {}
        Some(_) => return Err(document.failure(None)),
        None => return Err(unreadable("no `Code` in it")),
    }
    if document.token.is_none() || document.expiration.is_none() {
        return Err(unreadable("no `Token` or no `Expiration` in it"));
    }
    document.credentials()
}

/// Parses the response of a container credentials endpoint that received `token`. It has no `Code` unless it failed.
pub fn read_container_document(text: &str, token: Option<&Secret<String>>) -> Result<Credentials, DocumentFailure> {
    let mut document = parse(text)?;
    let failed = document.code.as_deref().is_some_and(|code| !code.eq_ignore_ascii_case("success"));
    if failed { Err(document.failure(token)) } else { document.credentials() }
}

/// The fields in use. ECS writes failures with lower-case keys.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Code", alias = "code")]
    code: Option<String>,
    #[serde(rename = "Message", alias = "message")]
    message: Option<String>,
    #[serde(rename = "AccessKeyId")]
    access_key_id: Option<String>,
    #[serde(rename = "SecretAccessKey", default, deserialize_with = "secret")]
    secret_access_key: Option<Secret<String>>,
    #[serde(rename = "Token", default, deserialize_with = "secret")]
    token: Option<Secret<String>>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

impl Document {
    fn credentials(&mut self) -> Result<Credentials, DocumentFailure> {
        let access_key_id = self.access_key_id.take().filter(|id| !id.is_empty());
        let secret_access_key = self.secret_access_key.take().filter(|key| !key.expose().is_empty());
        let (Some(access_key_id), Some(secret_access_key)) = (access_key_id, secret_access_key) else {
            return Err(unreadable("no `AccessKeyId` or no `SecretAccessKey` in it"));
        };
        let expiration = match self.expiration.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Wall::parse_rfc3339(text).ok_or_else(|| unreadable("its `Expiration` is not a time"))?),
        };
        let session_token = self.token.take().filter(|token| !token.expose().is_empty());
        Ok(Credentials { access_key_id, secret_access_key, session_token, expiration })
    }

    fn failure(&self, sent: Option<&Secret<String>>) -> DocumentFailure {
        let secrets: Vec<&str> = [sent, self.secret_access_key.as_ref(), self.token.as_ref()]
            .into_iter()
            .flatten()
            .map(|secret| secret.expose().as_str())
            .collect();
        let cut = |text: &Option<String>, longest| -> String {
            let clean = without_secrets(text.as_deref().unwrap_or_default(), &secrets);
            clean.chars().filter(|c| !c.is_control()).take(longest).collect()
        };
        DocumentFailure { code: cut(&self.code, LONGEST_CODE), message: cut(&self.message, LONGEST_MESSAGE) }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// serde's error messages may quote the offending value, so only the position is reported.
fn parse(text: &str) -> Result<Document, DocumentFailure> {
    serde_json::from_str(text)
        .map_err(|error| unreadable(&format!("JSON breaks at {}:{}", error.line(), error.column())))
}

fn unreadable(why: &str) -> DocumentFailure {
    DocumentFailure { code: "Unreadable".to_owned(), message: format!("failed to read `credentials document`: {why}") }
}

/// The longest known code has 28 letters.
const LONGEST_CODE: usize = 64;
/// Messages are one sentence.
const LONGEST_MESSAGE: usize = 500;

#[cfg(test)]
mod tests;
