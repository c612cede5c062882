//! Credentials in the format that pods receive: kube2iam's single line of JSON, with its order of keys and Go's
//! escapes.

use zeroize::Zeroizing;

use super::Credentials;
use crate::logic::base::time::Wall;
use crate::logic::policy::arn::RoleArn;

/// The bytes of a credentials document. Wiped on drop; it has no `Debug` or `Display`.
pub struct RenderedCredentials(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for RenderedCredentials {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Credentials {
    /// The document below `security-credentials/`. `updated` is the time at which STS issued them.
    pub fn render(&self, updated: Wall) -> RenderedCredentials {
        self.render_with(updated, None)
    }

    /// The document below `security-credentials-extended/`: the same with the role's account.
    pub fn render_extended(&self, updated: Wall, account: &str) -> RenderedCredentials {
        self.render_with(updated, Some(account))
    }

    /// The document of a container credentials endpoint: another order, no `Code`, with the account and the role's
    /// ARN.
    pub fn render_container(&self, role: &RoleArn) -> RenderedCredentials {
        let token = self.session_token.as_ref().map_or("", |token| token.expose());
        let secret_key = self.secret_access_key.expose();
        let letters = self.access_key_id.len() + secret_key.len() + token.len() + 2 * role.as_str().len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(FRAME_BYTES + LONGEST_ESCAPE * letters));
        bytes.push(b'{');
        field(&mut bytes, "AccessKeyId", &self.access_key_id);
        field(&mut bytes, "SecretAccessKey", secret_key);
        field(&mut bytes, "Token", token);
        if let Some(expiration) = self.expiration {
            field(&mut bytes, "Expiration", &expiration.rfc3339());
        }
        field(&mut bytes, "AccountId", role.account());
        field(&mut bytes, "RoleArn", role.as_str());
        bytes.push(b'}');
        RenderedCredentials(bytes)
    }

    fn render_with(&self, updated: Wall, account: Option<&str>) -> RenderedCredentials {
        let token = self.session_token.as_ref().map_or("", |token| token.expose());
        let secret_key = self.secret_access_key.expose();
        let letters = self.access_key_id.len() + secret_key.len() + token.len() + account.map_or(0, str::len);
        // Allocated in full: a buffer that grows would leave keys behind in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FRAME_BYTES + LONGEST_ESCAPE * letters));
        bytes.push(b'{');
        field(&mut bytes, "AccessKeyId", &self.access_key_id);
        field(&mut bytes, "Code", "Success");
        if let Some(expiration) = self.expiration {
            field(&mut bytes, "Expiration", &expiration.rfc3339());
        }
        field(&mut bytes, "LastUpdated", &updated.rfc3339());
        field(&mut bytes, "SecretAccessKey", secret_key);
        field(&mut bytes, "Token", token);
        field(&mut bytes, "Type", "AWS-HMAC");
        if let Some(account) = account {
            field(&mut bytes, "AccountId", account);
        }
        bytes.extend_from_slice(b"}\n");
        RenderedCredentials(bytes)
    }
}

fn field(bytes: &mut Vec<u8>, key: &str, value: &str) {
    if bytes.len() > 1 {
        bytes.push(b',');
    }
    bytes.push(b'"');
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(b"\":\"");
    value.chars().for_each(|c| escape(bytes, c));
    bytes.push(b'"');
}

/// Escapes like Go's `encoding/json` by default: HTML and JavaScript metacharacters besides what JSON requires.
fn escape(bytes: &mut Vec<u8>, c: char) {
    match c {
        '"' => bytes.extend_from_slice(b"\\\""),
        '\\' => bytes.extend_from_slice(b"\\\\"),
        '\n' => bytes.extend_from_slice(b"\\n"),
        '\r' => bytes.extend_from_slice(b"\\r"),
        '\t' => bytes.extend_from_slice(b"\\t"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
            bytes.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
        }
        plain => bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Keys, quotes, both times and the fixed values: 208 bytes.
const FRAME_BYTES: usize = 256;
/// The length of an escape such as `\u003c`.
const LONGEST_ESCAPE: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::base::secret::Secret;

    fn credentials() -> Credentials {
        Credentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("a/b+c<d>&\"\\\u{2028}\u{7}".to_owned()),
            session_token: Some(Secret::new("tok==".to_owned())),
            expiration: Some(Wall::from_unix_millis(1_795_406_387_946)),
        }
    }

    #[test]
    fn the_document_is_one_line_in_the_order_of_kube2iam() {
        let updated = Wall::from_unix_seconds(1_795_402_787);
        let document = credentials().render(updated);
        assert_eq!(
            std::str::from_utf8(document.as_ref()).unwrap(),
            "{\"AccessKeyId\":\"ASIAEXAMPLE\",\"Code\":\"Success\",\"Expiration\":\"2026-11-23T03:59:47Z\",\
             \"LastUpdated\":\"2026-11-23T02:59:47Z\",\"SecretAccessKey\":\"a/b+c\\u003cd\\u003e\\u0026\\\"\\\\\\u2028\\u0007\",\
             \"Token\":\"tok==\",\"Type\":\"AWS-HMAC\"}\n"
        );
    }

    #[test]
    fn the_container_document_has_its_own_order_and_no_code() {
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/team/app").unwrap();
        let document = credentials().render_container(&role);
        assert_eq!(
            std::str::from_utf8(document.as_ref()).unwrap(),
            "{\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"a/b+c\\u003cd\\u003e\\u0026\\\"\\\\\\u2028\\u0007\",\
             \"Token\":\"tok==\",\"Expiration\":\"2026-11-23T03:59:47Z\",\"AccountId\":\"123456789012\",\
             \"RoleArn\":\"arn:aws:iam::123456789012:role/team/app\"}"
        );
    }

    #[test]
    fn the_extended_document_adds_the_account() {
        let updated = Wall::from_unix_seconds(1_795_402_787);
        let (plain, extended) = (credentials().render(updated), credentials().render_extended(updated, "123456789012"));
        let plain = std::str::from_utf8(plain.as_ref()).unwrap();
        let expected = plain.replace("\"}\n", "\",\"AccountId\":\"123456789012\"}\n");
        assert_eq!(std::str::from_utf8(extended.as_ref()).unwrap(), expected);
    }

    /// What a buffer held before it grew would stay in freed memory.
    #[test]
    fn a_document_never_reallocates_its_buffer() {
        let mut worst = credentials();
        worst.access_key_id = "&".repeat(1_000);
        worst.secret_access_key = Secret::new("<".repeat(5_000));
        worst.session_token = Some(Secret::new("\u{1}".repeat(6_000)));
        let allocated = |letters: usize| FRAME_BYTES + LONGEST_ESCAPE * letters;
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/app").unwrap();
        for (document, letters) in [
            (worst.render(Wall::default()), 12_000),
            (worst.render_extended(Wall::default(), role.account()), 12_012),
            (worst.render_container(&role), 12_000 + 2 * role.as_str().len()),
        ] {
            assert_eq!(document.0.capacity(), allocated(letters));
            assert!(document.0.len() > LONGEST_ESCAPE * 12_000);
        }
    }
}
