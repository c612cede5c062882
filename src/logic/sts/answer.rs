//! What STS says: XML, read by the names of its elements whatever their namespace.
//!
//! Errors come in two shapes, `ErrorResponse/Error` from AWS and `ErrorResponse/Errors/Error` from stand-ins.
//! Invariant: no failure repeats a byte of an answer that could hold a secret, nor a piece of one that was sent.

use roxmltree::{Document, Node, ParsingOptions};

use super::verdict::kind_of;
use super::{StsFailure, StsFailureKind};
use crate::logic::base::secret::{Secret, without_secrets};
use crate::logic::base::time::Wall;
use crate::logic::sessions::credentials::Credentials;

/// An answer as it came.
#[derive(Clone, Copy, Default)]
pub struct StsAnswer<'a> {
    pub status: u16,
    /// `x-amzn-requestid`
    pub request_id: Option<&'a str>,
    pub body: &'a [u8],
    /// What was sent that no word about the answer may repeat
    pub secrets: &'a [&'a str],
}

/// Reads the answer to AssumeRole or AssumeRoleWithWebIdentity.
/// Credentials that are incomplete or already over can't be meant: such an answer is unreadable.
pub fn read_credentials(answer: &StsAnswer<'_>, now: Wall) -> Result<Credentials, StsFailure> {
    with_document(answer, |document| {
        let given = find(document.root(), "Credentials").ok_or("it has no credentials")?;
        let access_key_id = text_of(given, "AccessKeyId").ok_or("no access key id in it")?;
        let secret_access_key = text_of(given, "SecretAccessKey").ok_or("no secret key in it")?;
        let session_token = text_of(given, "SessionToken").ok_or("no session token in it")?;
        let expiration = text_of(given, "Expiration").ok_or("no expiration in it")?;
        let expiration = Wall::parse_rfc3339(expiration).ok_or("its expiration is not a time")?;
        // AWS refuses from the fraction on; the second before it is safe.
        let expiration = Wall::from_unix_seconds(expiration.unix_seconds());
        if expiration <= now {
            return Err("its credentials are already over");
        }
        Ok(Credentials {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Secret::new(secret_access_key.to_owned()),
            session_token: Some(Secret::new(session_token.to_owned())),
            expiration: Some(expiration),
        })
    })
}

/// Reads the answer to GetCallerIdentity: the caller's ARN.
pub fn read_caller_identity(answer: &StsAnswer<'_>) -> Result<String, StsFailure> {
    with_document(answer, |document| {
        let result = find(document.root(), "GetCallerIdentityResult").ok_or("no caller in it")?;
        text_of(result, "Arn").map(str::to_owned).ok_or("no ARN in it")
    })
}

fn with_document<T>(
    answer: &StsAnswer<'_>,
    read: impl FnOnce(&Document<'_>) -> Result<T, &'static str>,
) -> Result<T, StsFailure> {
    let unreadable = |why: &str| unreadable(answer, why);
    let text = std::str::from_utf8(answer.body).map_err(|_| unreadable("it is not UTF-8"))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| unreadable(&format!("XML breaks at {}", error.pos())))?;
    if let Some(failure) = read_failure(answer, &document) {
        return Err(failure);
    }
    if answer.status != 200 {
        return Err(unreadable("no error code in it"));
    }
    read(&document).map_err(unreadable)
}

fn read_failure(answer: &StsAnswer<'_>, document: &Document<'_>) -> Option<StsFailure> {
    let error = find(document.root(), "Error")?;
    let code = without_secrets(text_of(error, "Code")?, answer.secrets);
    let code: String = code.chars().filter(|c| is_code(*c)).take(LONGEST_CODE).collect();
    if code.is_empty() {
        return None;
    }
    let within = find(document.root(), "RequestId").and_then(|node| node.text()).map(str::trim);
    Some(StsFailure {
        kind: kind_of(answer.status, &code),
        message: presentable(text_of(error, "Message").unwrap_or_default(), answer),
        request_id: within.filter(|id| !id.is_empty()).or(answer.request_id).map(|id| presentable(id, answer)),
        code,
    })
}

fn unreadable(answer: &StsAnswer<'_>, why: &str) -> StsFailure {
    let kind = if answer.status == 429 { StsFailureKind::Throttled } else { StsFailureKind::Unavailable };
    StsFailure {
        kind,
        code: "Unreadable".to_owned(),
        message: format!("failed to read `answer of status {}`: {why}", answer.status),
        request_id: answer.request_id.map(|id| presentable(id, answer)),
    }
}

fn find<'a>(root: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    root.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

/// The text of a child that holds nothing else: beside a comment or an element there might be more of it.
fn text_of<'a>(parent: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    let child = parent.children().find(|node| node.is_element() && node.tag_name().name() == name)?;
    let text = child.first_child().filter(|inside| inside.is_text() && inside.next_sibling().is_none())?.text();
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// A message as a log line may carry it: without what was sent, and of that the first line, cut. `SignatureDoesNotMatch`
/// goes on with the canonical request, session token included.
fn presentable(text: &str, answer: &StsAnswer<'_>) -> String {
    let text = without_secrets(text, answer.secrets);
    let line = text.trim().lines().next().unwrap_or_default();
    let line = line.split("The Canonical String").next().unwrap_or_default().trim_end();
    line.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}

/// Codes become metric labels and words of log lines.
fn is_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

/// A success has about twenty nodes.
const MOST_NODES: u32 = 2_000;
/// The longest code that STS documents has 34 letters.
const LONGEST_CODE: usize = 64;
/// An AccessDenied that spells out both ARNs and the action stays below.
const LONGEST_MESSAGE: usize = 1_000;

#[cfg(test)]
mod tests;
