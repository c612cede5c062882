//! Request bodies of the STS query protocol (STS API reference, version 2011-06-15).

use super::AssumeRole;
use crate::logic::base::secret::Secret;

/// The body of an AssumeRole call.
pub fn form_body(request: &AssumeRole) -> String {
    let mut form = action("AssumeRole", 0);
    form.session(request);
    if let Some(external_id) = &request.external_id {
        form.pair("ExternalId", external_id);
    }
    form.policies(request);
    for (number, (key, value)) in (1..).zip(&request.tags) {
        form.pair(&format!("Tags.member.{number}.Key"), key);
        form.pair(&format!("Tags.member.{number}.Value"), value);
    }
    for (number, key) in (1..).zip(&request.transitive_tags) {
        form.pair(&format!("TransitiveTagKeys.member.{number}"), key);
    }
    form.text
}

/// The body of a GetCallerIdentity call.
pub fn caller_identity_body() -> String {
    action("GetCallerIdentity", 0).text
}

/// The body of an AssumeRoleWithWebIdentity call, which supports neither an external ID nor tags. It contains the
/// token, which is a secret, and isn't signed.
pub fn web_identity_body(request: &AssumeRole, token: &Secret<String>) -> Secret<String> {
    let mut before = action("AssumeRoleWithWebIdentity", 0);
    before.session(request);
    before.policies(request);
    // Sized for every letter to be escaped: a buffer that grows would leave parts of the token behind in freed
    // memory.
    let mut text = String::with_capacity(before.text.len() + TOKEN_FIELD + 3 * token.expose().len());
    text.push_str(&before.text);
    let mut form = Form { text };
    form.pair("WebIdentityToken", token.expose());
    Secret::new(form.text)
}

fn action(name: &str, capacity: usize) -> Form {
    let mut form = Form { text: String::with_capacity(capacity) };
    form.pair("Action", name);
    form.pair("Version", "2011-06-15");
    form
}

/// Names and values, escaped like Python's `urlencode`. AWS accepts any correct escaping, but stand-ins that check
/// signatures decode the form, encode it again and compare (a `*` in a policy would differ).
struct Form {
    text: String,
}

impl Form {
    /// The role, and the session's name and duration.
    fn session(&mut self, request: &AssumeRole) {
        self.pair("RoleArn", request.role.as_str());
        self.pair("RoleSessionName", &request.session_name);
        self.pair("DurationSeconds", &request.duration_s.to_string());
    }

    /// The session policies.
    fn policies(&mut self, request: &AssumeRole) {
        if let Some(policy) = &request.policy {
            self.pair("Policy", &policy.text());
        }
        for (number, arn) in (1..).zip(&request.policy_arns) {
            self.pair(&format!("PolicyArns.member.{number}.arn"), arn);
        }
    }

    fn pair(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.push_str(name);
        self.text.push('=');
        value.bytes().for_each(|byte| self.escape(byte));
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b' ' => self.text.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => self.text.push(char::from(byte)),
            byte => {
                self.text.push('%');
                for digit in [byte >> 4, byte & 15] {
                    self.text.push(char::from(HEX[usize::from(digit)]));
                }
            }
        }
    }
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";
/// Larger than `&WebIdentityToken=`.
const TOKEN_FIELD: usize = 32;

#[cfg(test)]
mod tests;
