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
