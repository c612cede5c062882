use super::*;

const ROLE_CREDS: &str = include_str!("../../../../../tests/fixtures/imds/role-creds.http");

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
    let success =
        r#"{"Code":"SUCCESS","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}"#;
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
