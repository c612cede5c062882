use super::*;

const ASSUME_ROLE_OK: &str = include_str!("../../../../tests/fixtures/sts/assume-role-ok.http");
const WRONG_SIGNATURE: &str = include_str!("../../../../tests/fixtures/sts/signature-does-not-match.http");
const UNKNOWN_KEY: &str = include_str!("../../../../tests/fixtures/sts/unknown-key.http");
/// 2026-11-23T02:59:47Z, the time of the recordings
const NOW: Wall = Wall::from_unix_seconds(1_795_402_787);

/// Status, request id and body of a recorded exchange.
fn recorded(exchange: &str) -> StsAnswer<'_> {
    let (_request, answer) = exchange.split_once("\n\n").or_else(|| exchange.split_once("\r\n\r\n")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").or_else(|| answer.split_once("\n\n")).unwrap();
    let status = head.split(' ').nth(1).unwrap().get(..3).unwrap().parse().unwrap();
    let request_id = head.lines().find_map(|line| line.strip_prefix("x-amzn-requestid: "));
    StsAnswer { status, request_id: request_id.map(str::trim), body: body.as_bytes(), secrets: &[] }
}

fn said(status: u16, body: &str) -> StsAnswer<'_> {
    StsAnswer { status, request_id: Some("from-header"), body: body.as_bytes(), secrets: &[] }
}

#[test]
fn a_recorded_success_is_parsed_with_its_expiration_in_whole_seconds() {
    let credentials = read_credentials(&recorded(ASSUME_ROLE_OK), NOW).unwrap();
    assert_eq!(credentials.access_key_id, "ASIARZPUZDIKOYYVOBUF");
    assert_eq!(credentials.secret_access_key.expose(), "PBSIKPRvJQ685DKpuaBlYpmeBUxiWRcI6u3jSDca");
    assert!(credentials.session_token.as_ref().unwrap().expose().ends_with("sq2Roz505co="));
    assert_eq!(credentials.expiration.unwrap().unix_millis(), 1_795_406_387_000);
    let shown = format!("{credentials:?}");
    assert!(!shown.contains("PBSIKP") && !shown.contains("FQoGZX"), "{shown}");
}

#[test]
fn an_expiration_offset_may_omit_its_colon() {
    for written in ["+0000", "+00:00", "Z", "-0000"] {
        let body = ASSUME_ROLE_OK.replace("Z</Expiration>", &format!("{written}</Expiration>"));
        let credentials = read_credentials(&recorded(&body), NOW).unwrap();
        assert_eq!(credentials.expiration.unwrap().unix_millis(), 1_795_406_387_000, "{written}");
    }
}

#[test]
fn recorded_refusals_keep_code_message_and_request_id() {
    for (exchange, kind, code, message, request_id) in [
        (
            WRONG_SIGNATURE,
            StsFailureKind::NoNodeCredentials,
            "SignatureDoesNotMatch",
            "The request signature we calculated",
            "3mMM0aPZvnIRA7Lnpw7tEtvSr2VnBQjEkGPZAM20frXSwQF11GFf",
        ),
        (
            UNKNOWN_KEY,
            StsFailureKind::NoNodeCredentials,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "nUF9nSoCyDGzTQ7LYmlI97yQaZrl4CdOkfInHOiNATtHzz9k34iR",
        ),
    ] {
        let failure = read_credentials(&recorded(exchange), NOW).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (kind, code));
        assert!(failure.message.starts_with(message), "{}", failure.message);
        assert_eq!(failure.request_id.as_deref(), Some(request_id));
    }
}

#[test]
fn the_error_format_of_aws_itself_is_parsed_too() {
    let failure = read_credentials(
        &said(
            403,
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/n/i is not authorized</Message></Error>\
             <RequestId>in-body</RequestId></ErrorResponse>",
        ),
        NOW,
    )
    .unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::Refused, "AccessDenied"));
    assert_eq!(failure.request_id.as_deref(), Some("in-body"));
    assert_eq!(
        failure.to_string(),
        "AccessDenied: User: arn:aws:sts::1:assumed-role/n/i is not authorized (request id in-body)"
    );
}

#[test]
fn a_message_never_repeats_the_canonical_request() {
    let body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Does not match. The Canonical String \
                for this request should have been\n'POST\n/\n\nx-amz-security-token:TOPSECRET'</Message></Error></ErrorResponse>";
    let failure = read_credentials(&said(403, body), NOW).unwrap_err();
    assert_eq!(failure.message, "Does not match.");
    let long =
        format!("<ErrorResponse><Error><Code>X</Code><Message>{}</Message></Error></ErrorResponse>", "m".repeat(9_000));
    assert_eq!(read_credentials(&said(400, &long), NOW).unwrap_err().message.len(), LONGEST_MESSAGE);
}

#[test]
fn other_responses_than_those_of_sts_are_unreadable_and_not_repeated() {
    const DOCTYPE: &str = "<!DOCTYPE x [<!ENTITY e \"CANARY\">]><r><Credentials>&e;</Credentials></r>";
    let credentials = |inner: &str| format!("<r xmlns:p=\"u\"><p:Credentials>{inner}</p:Credentials></r>");
    let without_key = credentials("<AccessKeyId>A</AccessKeyId><SessionToken>CANARY</SessionToken>");
    let over = credentials(
        "<AccessKeyId>A</AccessKeyId><SecretAccessKey>CANARY</SecretAccessKey><SessionToken>CANARY</SessionToken>\
         <Expiration>2026-11-23T02:59:47.9Z</Expiration>",
    );
    let crowded = format!("<r>{}</r>", "<CANARY/>".repeat(5_000));
    for (status, body, kind) in [
        (200, "", StsFailureKind::Unavailable),
        (200, "CANARY", StsFailureKind::Unavailable),
        (200, "<html><body>CANARY</html>", StsFailureKind::Unavailable),
        (200, "<r/>", StsFailureKind::Unavailable),
        (200, DOCTYPE, StsFailureKind::Unavailable),
        (200, without_key.as_str(), StsFailureKind::Unavailable),
        (200, over.as_str(), StsFailureKind::Unavailable),
        (200, crowded.as_str(), StsFailureKind::Unavailable),
        (302, "<r/>", StsFailureKind::Unavailable),
        (403, "<html><body>CANARY</body></html>", StsFailureKind::Unavailable),
        (403, "<ErrorResponse><Error><Code>\u{1f4a5}</Code></Error></ErrorResponse>", StsFailureKind::Unavailable),
        (429, "slow down", StsFailureKind::Throttled),
        (503, "{\"CANARY\":1}", StsFailureKind::Unavailable),
    ] {
        let failure = read_credentials(&said(status, body), NOW).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (kind, "Unreadable"), "{body}");
        assert!(!failure.message.contains("CANARY"), "{}", failure.message);
        assert_eq!(failure.request_id.as_deref(), Some("from-header"));
    }
}

#[test]
fn a_field_with_more_than_text_is_rejected() {
    let with = |key: &str| {
        format!(
            "<r><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>{key}</SecretAccessKey>\
             <SessionToken>T</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></r>"
        )
    };
    for (key, read) in [
        ("first<!-- -->second", None),
        ("first<?x y?>second", None),
        ("first<b/>second", None),
        ("<!-- -->second", None),
        ("<![CDATA[first]]>second", Some("firstsecond")),
        ("first&#x73;econd", Some("firstsecond")),
    ] {
        let credentials = read_credentials(&said(200, &with(key)), NOW).ok();
        assert_eq!(credentials.as_ref().map(|read| read.secret_access_key.expose().as_str()), read, "{key}");
    }
}

#[test]
fn an_error_document_with_status_200_is_an_error() {
    let body = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    assert_eq!(read_credentials(&said(200, body), NOW).unwrap_err().kind, StsFailureKind::Throttled);
}

#[test]
fn the_callers_arn_is_parsed() {
    let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Arn>arn:aws:sts::123456789012:assumed-role/node/i-1</Arn><UserId>AROA:i-1</UserId>\
                <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    assert_eq!(read_caller_identity(&said(200, body)).unwrap(), "arn:aws:sts::123456789012:assumed-role/node/i-1");
    assert_eq!(read_caller_identity(&said(200, "<r/>")).unwrap_err().code, "Unreadable");
}

#[test]
fn an_answer_of_far_too_many_elements_is_not_read() {
    let body = |more: usize| ASSUME_ROLE_OK.replace("<Credentials>", &format!("{}<Credentials>", "<x/>".repeat(more)));
    assert!(read_credentials(&recorded(&body(1_000)), NOW).is_ok());
    let failure = read_credentials(&recorded(&body(2_000)), NOW).unwrap_err();
    assert!(failure.message.contains("XML breaks at"), "{failure}");
}

#[test]
fn a_truncated_token_leaves_no_piece() {
    let token = format!("{}.{}", "h".repeat(40), "eyJzdWIiOiJhcHAifQ".repeat(60));
    for before in [0, 1, 50, LONGEST_CODE - 20, LONGEST_MESSAGE - 20, LONGEST_MESSAGE - 1] {
        let text = format!("{}{token}", "-".repeat(before));
        let id = format!("{text}-id");
        for (code, message, inner_id) in [("Odd", &*text, ""), (&*text, "odd", ""), ("Odd", "odd", &*id)] {
            let body = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>{inner_id}</RequestId></ErrorResponse>"
            );
            for body in [&*body, "unreadable"] {
                let secrets = [token.as_str()];
                let answer = StsAnswer { status: 400, request_id: Some(&id), body: body.as_bytes(), secrets: &secrets };
                let shown = read_credentials(&answer, NOW).unwrap_err().to_string();
                assert!(!shown.contains(&token[..16]) && !shown.contains("eyJzdWIiOiJhcHAi"), "{before}: {shown}");
            }
        }
    }
}

#[test]
fn a_short_secret_does_not_spoil_the_code() {
    let body = b"<ErrorResponse><Error><Code>ExpiredToken</Code><Message>at x</Message></Error></ErrorResponse>";
    let failure = |secrets: &[&str]| {
        read_credentials(&StsAnswer { status: 400, request_id: None, body, secrets }, NOW).unwrap_err()
    };
    let (plain, with_short) = (failure(&[]), failure(&["x"]));
    assert_eq!((with_short.code.as_str(), with_short.kind), ("ExpiredToken", plain.kind));
    assert_eq!(with_short.message, "at [secret]");
}

#[test]
fn control_characters_do_not_hide_a_token() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhcHAifQ";
    let torn = token.as_bytes().chunks(10).map(|piece| String::from_utf8_lossy(piece)).collect::<Vec<_>>().join("\t");
    let body = format!("<ErrorResponse><Error><Code>Odd</Code><Message>{torn}</Message></Error></ErrorResponse>");
    let answer = StsAnswer { status: 400, request_id: None, body: body.as_bytes(), secrets: &[token] };
    assert_eq!(read_credentials(&answer, NOW).unwrap_err().message, "[secret]");
}
