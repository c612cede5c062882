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
mod tests {
    use super::*;

    const ROLE_CREDS: &str = include_str!("../../../../tests/fixtures/imds/role-creds.http");

    #[test]
    fn a_recorded_role_document_is_parsed_although_expired() {
        let body = ROLE_CREDS.split_once("\r\n\r\n").or_else(|| ROLE_CREDS.split_once("\n\n")).unwrap().1;
        let credentials = read_instance_document(body).unwrap();
        assert_eq!(credentials.access_key_id, "12345678901");
        assert_eq!(credentials.secret_access_key.expose(), "v/12345678901");
        assert_eq!(credentials.expiration.unwrap().rfc3339(), "2020-04-02T00:49:51Z");
        assert!(credentials.session_token.is_some());
    }

    #[test]
    fn instance_documents_without_credentials_give_the_cause() {
        for (text, code, message) in [
            (
                r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"}"#,
                "AssumeRoleUnauthorizedAccess",
                "EC2 cannot assume the role",
            ),
            (
                r#"{"AccessKeyId":"A","SecretAccessKey":"CANARY","Token":"CANARY","Expiration":"2030-01-01T00:00:00Z"}"#,
                "Unreadable",
                "no `Code`",
            ),
            (
                r#"{"Code":"Success","SecretAccessKey":"CANARY","Token":"CANARY","Expiration":"2030-01-01T00:00:00Z"}"#,
                "Unreadable",
                "no `AccessKeyId`",
            ),
            (
                r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"CANARY","Expiration":"2030-01-01T00:00:00Z"}"#,
                "Unreadable",
                "no `Token`",
            ),
            (
                r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"CANARY","Token":"CANARY","Expiration":"soon"}"#,
                "Unreadable",
                "not a time",
            ),
            (r#"{"Code":"Success","AccessKeyId":{"a":"CANARY"}}"#, "Unreadable", "JSON breaks at 1:"),
            (r#"["CANARY"]"#, "Unreadable", "JSON breaks at 1:"),
            ("CANARY", "Unreadable", "JSON breaks at 1:"),
            ("", "Unreadable", "JSON breaks at 1:0"),
        ] {
            let failure = read_instance_document(text).unwrap_err();
            assert_eq!(failure.code, code, "{text}");
            assert!(failure.message.contains(message) && !failure.message.contains("CANARY"), "{}", failure.message);
        }
        let success = r#"{"Code":"SUCCESS","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}"#;
        assert!(read_instance_document(success).is_ok());
    }

    #[test]
    fn container_documents_need_neither_code_nor_expiration() {
        let keys = r#"{"AccessKeyId":"A","SecretAccessKey":"S"}"#;
        let credentials = read_container_document(keys, None).unwrap();
        assert_eq!((credentials.session_token, credentials.expiration), (None, None));
        let full = r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00.25Z","AccountId":"1"}"#;
        assert_eq!(read_container_document(full, None).unwrap().expiration.unwrap().rfc3339(), "2030-01-01T00:00:00Z");
        let failed = r#"{"code":"CredentialsUninitialized","message":"not yet","HTTPErrorCode":503}"#;
        let failure = read_container_document(failed, None).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("CredentialsUninitialized", "not yet"));
    }

    #[test]
    fn no_piece_of_a_token_or_secret_that_an_endpoint_repeats_is_in_a_failure() {
        let (token, key) = (Secret::new("container-token-of-the-node".to_owned()), "secret-key-that-came-along");
        for before in [0, LONGEST_CODE - 3, LONGEST_CODE - 17, LONGEST_MESSAGE - 17] {
            for secret in [token.expose(), key] {
                let text = format!("{}{secret}", "-".repeat(before));
                let body = serde_json::json!({ "code": text, "message": text, "SecretAccessKey": key }).to_string();
                let failure = read_container_document(&body, Some(&token)).unwrap_err();
                let shown = format!("{failure:?}");
                assert!(!shown.contains(&secret[..3]) || shown.contains("[secret]"), "{before}: {shown}");
                assert!(!shown.contains(&secret[..10]), "{before}: {shown}");
            }
        }
    }
}
