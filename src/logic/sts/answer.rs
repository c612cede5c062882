//! Responses of STS: XML, parsed by element names regardless of namespaces.
//!
//! Errors come in two forms, `ErrorResponse/Error` from AWS and `ErrorResponse/Errors/Error` from stand-ins.
//! Invariant: no failure repeats a byte of a response that could be secret, nor a piece of a secret in the request.

use roxmltree::{Document, Node, ParsingOptions};

use super::verdict::kind_of;
use super::{StsFailure, StsFailureKind};
use crate::logic::base::secret::{Secret, without_secrets};
use crate::logic::base::time::Wall;
use crate::logic::sessions::credentials::Credentials;

/// A raw response.
#[derive(Clone, Copy, Default)]
pub struct StsAnswer<'a> {
    pub status: u16,
    /// `x-amzn-requestid`
    pub request_id: Option<&'a str>,
    pub body: &'a [u8],
    /// Secrets of the request, which no message about the response may repeat
    pub secrets: &'a [&'a str],
}

/// Parses the response to AssumeRole or AssumeRoleWithWebIdentity. Incomplete or expired credentials make it
/// unreadable.
pub fn read_credentials(answer: &StsAnswer<'_>, now: Wall) -> Result<Credentials, StsFailure> {
    with_document(answer, |document| {
        let given = find(document.root(), "Credentials").ok_or("it has no credentials")?;
        let access_key_id = text_of(given, "AccessKeyId").ok_or("no access key id in it")?;
        let secret_access_key = text_of(given, "SecretAccessKey").ok_or("no secret key in it")?;
        let session_token = text_of(given, "SessionToken").ok_or("no session token in it")?;
        let expiration = text_of(given, "Expiration").ok_or("no expiration in it")?;
        let expiration = Wall::parse_rfc3339(expiration).ok_or("its expiration is not a time")?;
        // AWS refuses the credentials from the fraction on; the whole second before it is safe.
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

/// Parses the response to GetCallerIdentity: the caller's ARN.
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
    // Hiding a short secret could spoil the code, and nothing of value fits into one.
    let long: Vec<&str> = answer.secrets.iter().copied().filter(|secret| secret.len() >= SHORTEST_IN_CODE).collect();
    let code = without_secrets(text_of(error, "Code")?, &long);
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

/// The text of an element that contains nothing else: beside a comment or another element it might be incomplete.
fn text_of<'a>(parent: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    let child = parent.children().find(|node| node.is_element() && node.tag_name().name() == name)?;
    let text = child.first_child().filter(|inside| inside.is_text() && inside.next_sibling().is_none())?.text();
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// The first line of a message for the log, without secrets and truncated. `SignatureDoesNotMatch` continues with the
/// canonical request, which contains the session token.
fn presentable(text: &str, answer: &StsAnswer<'_>) -> String {
    // Control characters go first: between the pieces of a secret they would hide it from the search.
    let text: String = text.trim().chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let text = without_secrets(&text, answer.secrets);
    let line = text.lines().next().unwrap_or_default();
    let line = line.split("The Canonical String").next().unwrap_or_default().trim_end();
    line.chars().take(LONGEST_MESSAGE).collect()
}

/// Codes become metric labels and log fields.
fn is_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

/// A successful response has about twenty nodes.
const MOST_NODES: u32 = 2_000;
/// Bytes of a secret that is taken out of an error code.
const SHORTEST_IN_CODE: usize = 16;
/// The longest code in the STS documentation has 34 letters.
const LONGEST_CODE: usize = 64;
/// An AccessDenied message with both ARNs and the action is shorter.
const LONGEST_MESSAGE: usize = 1_000;

#[cfg(test)]
mod tests;
