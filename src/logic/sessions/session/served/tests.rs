use std::time::Duration;

use super::*;
use crate::logic::base::secret::Secret;
use crate::logic::sessions::cache::tests::key;

#[test]
fn documents_expire_as_dated_by_aws_or_with_the_session() {
    let now = Now { mono: Mono::from_millis(0), wall: Wall::from_unix_seconds(1_800_000_000) };
    for (given, shown) in [(None, 3_600), (Some(900), 900)] {
        let expiration = given.map(|seconds| now.wall.after(Duration::from_secs(seconds)));
        let credentials = Credentials {
            access_key_id: "ASIA".into(),
            secret_access_key: Secret::new("hidden".into()),
            session_token: None,
            expiration,
        };
        let assumed = Assumed { credentials, life: Duration::from_secs(3_600) };
        let session = Session::render(&key("app"), &assumed, now);
        let end = format!("\"{}\"", now.wall.after(Duration::from_secs(shown)).rfc3339());
        for document in [session.extended(), session.container()] {
            let text = String::from_utf8_lossy(document.as_ref()).into_owned();
            assert!(text.contains(&end) && text.contains("hidden"), "{text}");
        }
        let printed = format!("{session:?}");
        assert!(printed.starts_with("Session") && !printed.contains("hidden"), "{printed}");
    }
}
