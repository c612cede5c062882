//! What STS says: credentials only if all of them are there, and no secret in any word about an answer.

use kube2iam::for_tests::{StsAnswer, Wall, read_caller_identity, read_credentials};

/// The body of an answer.
pub(crate) fn check(bytes: &[u8]) {
    let [some, others] = [b'A', b'B'].map(|letter| with_secrets_of(letter, bytes));
    for status in [200, 400, 403, 429, 503] {
        let said = said_of(bytes, status);
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert_eq!(said_of(&some, status), said_of(&others, status), "what is said depends on the secrets");
        complete(bytes, status);
    }
}

/// All words that come of an answer.
fn said_of(body: &[u8], status: u16) -> String {
    let answer = StsAnswer { status, request_id: Some("id"), body, secrets: &[] };
    let caller = match read_caller_identity(&answer) {
        Ok(arn) => arn.escape_debug().to_string(),
        Err(failure) => format!("{failure:?} {}", failure.to_string().escape_debug()),
    };
    match read_credentials(&answer, NOW) {
        Ok(credentials) => format!("{credentials:?} {caller}"),
        Err(failure) => {
            let shown = failure.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.len() < 8_000, "{shown:?}");
            format!("{failure:?} {shown} {caller}")
        }
    }
}

/// Credentials come of a 200 that has every field, each of it whole, and of nothing else.
fn complete(body: &[u8], status: u16) {
    let Ok(credentials) = read_credentials(&StsAnswer { status, body, ..StsAnswer::default() }, NOW) else { return };
    let text = std::str::from_utf8(body).expect("credentials come of text");
    assert_eq!(status, 200);
    let named = |name: &str| text.contains(name);
    assert!(["Credentials", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"].into_iter().all(named));
    let session_token = credentials.session_token.expect("sessions have a token");
    let fields = [&credentials.access_key_id, credentials.secret_access_key.expose(), session_token.expose()];
    for (field, name) in fields.into_iter().zip(["AccessKeyId", "SecretAccessKey", "SessionToken"]) {
        assert!(!field.trim().is_empty());
        assert!(
            text.contains(&['&', '\r'][..]) || text.contains("CDATA") || is_whole(text, name, field),
            "{name} is cut"
        );
    }
    assert!(credentials.expiration.is_some_and(|end| end > NOW));
}

/// Whether `field` is all that stands between a tag of its name and the tag that closes it.
fn is_whole(text: &str, name: &str, field: &str) -> bool {
    let parts: Vec<(&str, &str)> = text.split('<').filter_map(|part| part.split_once('>')).collect();
    parts.windows(2).any(|pair| {
        let [(tag, inside), (next, _)] = pair else { return false };
        is_tag(tag, name) && inside.trim() == field && next.strip_prefix('/').is_some_and(|next| is_tag(next, name))
    })
}

fn is_tag(tag: &str, name: &str) -> bool {
    let word = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
    word.rsplit(':').next() == Some(name)
}

/// The same answer with other secrets of the same length. Where text can hold tags, it isn't told apart here.
fn with_secrets_of(letter: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    if contains(&body, b"CDATA") {
        return body;
    }
    for name in [&b"SecretAccessKey>"[..], b"SessionToken>"] {
        for start in 0..body.len().saturating_sub(name.len()) {
            let opening = body[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b':');
            let opens = body[..start - opening.count()].ends_with(b"<");
            if opens && body[start..].starts_with(name) {
                let inside = body[start + name.len()..].iter_mut().take_while(|byte| **byte != b'<');
                inside.filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = letter);
            }
        }
    }
    body
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

/// Before the expiration of the recorded answers.
const NOW: Wall = Wall::from_unix_seconds(1_000_000_000);
