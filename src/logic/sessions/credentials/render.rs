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
mod tests;
