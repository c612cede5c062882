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
mod tests {
    use super::*;
    use crate::logic::policy::arn::RoleArn;

    fn plain() -> AssumeRole {
        AssumeRole {
            role: RoleArn::parse("arn:aws:iam::123456789012:role/team/app").unwrap(),
            session_name: "node-app".to_owned(),
            external_id: None,
            duration_s: 3_600,
            policy: None,
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive_tags: Vec::new(),
            subject: None,
        }
    }

    #[test]
    fn a_plain_call_has_only_the_required_fields() {
        assert_eq!(
            form_body(&plain()),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fteam%2Fapp\
             &RoleSessionName=node-app&DurationSeconds=3600"
        );
        assert_eq!(caller_identity_body(), "Action=GetCallerIdentity&Version=2011-06-15");
    }

    #[test]
    fn every_session_parameter_is_sent() {
        let request = AssumeRole {
            external_id: Some("a b&c=d".to_owned()),
            policy: crate::logic::sts::SessionPolicy::new("{\"Action\":\"s3:*~\"}"),
            policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(), "arn:x".to_owned()],
            tags: vec![
                ("kubernetes-namespace".to_owned(), "default".to_owned()),
                ("t\u{e9}am".to_owned(), String::new()),
            ],
            transitive_tags: vec!["kubernetes-namespace".to_owned()],
            ..plain()
        };
        let body = form_body(&request);
        let (_, rest) = body.split_once("&DurationSeconds=3600&").unwrap();
        assert_eq!(
            rest.split('&').collect::<Vec<_>>(),
            [
                "ExternalId=a+b%26c%3Dd",
                "Policy=%7B%22Action%22%3A%22s3%3A%2A~%22%7D",
                "PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FReadOnlyAccess",
                "PolicyArns.member.2.arn=arn%3Ax",
                "Tags.member.1.Key=kubernetes-namespace",
                "Tags.member.1.Value=default",
                "Tags.member.2.Key=t%C3%A9am",
                "Tags.member.2.Value=",
                "TransitiveTagKeys.member.1=kubernetes-namespace",
            ]
        );
    }

    #[test]
    fn a_web_identity_body_contains_the_token_and_redacts_its_debug_output() {
        let token = Secret::new("header.pay+load.sig".to_owned());
        let request = AssumeRole {
            policy: crate::logic::sts::SessionPolicy::new("{}"),
            policy_arns: vec!["arn:x".to_owned()],
            external_id: Some("left out".to_owned()),
            tags: vec![("left".to_owned(), "out".to_owned())],
            transitive_tags: vec!["left".to_owned()],
            ..plain()
        };
        let body = web_identity_body(&request, &token);
        assert_eq!(
            body.expose(),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F\
             team%2Fapp&RoleSessionName=node-app&DurationSeconds=3600&Policy=%7B%7D&PolicyArns.member.1.arn=arn%3Ax\
             &WebIdentityToken=header.pay%2Bload.sig"
        );
        assert_eq!(format!("{body:?}"), "[secret]");
    }
}
