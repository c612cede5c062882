use super::*;

#[test]
fn a_request_is_one_line_whatever_its_parameters() {
    let question = SocketRequest {
        method: "GET",
        path: "/explain",
        parameters: &[("subject", "a/b c\r\n&x"), parameter(PrintedForm::Json)],
    };
    let bytes = String::from_utf8(question.bytes()).unwrap();
    assert_eq!(bytes, "GET /explain?subject=a%2Fb+c%0D%0A%26x&form=json HTTP/1.0\r\n\r\n");
}

#[test]
fn malformed_responses_are_reported() {
    assert_eq!(parse(b"HTTP/1.0 404 x\r\nA: b\r\n\r\n{}"), Ok((404, b"{}".as_slice())));
    assert!(parse(b"HTTP/1.0 200 x\r\nA").unwrap_err().contains("incomplete"));
    assert!(parse(b"\x00\x01").unwrap_err().contains("not HTTP"));
}

#[test]
fn an_unopened_socket_is_reported_with_advice() {
    for (kind, part) in [
        (ErrorKind::PermissionDenied, "only the agent's user and root may open it"),
        (ErrorKind::NotFound, "is an agent running here with --control-socket=/run/s?"),
        (ErrorKind::ConnectionRefused, "its agent has exited"),
    ] {
        let Failure::Unanswered(error) = unopened(Path::new("/run/s"), &kind.into()) else { panic!("{kind}") };
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_missing_agent_is_reported_with_its_path() {
    let question = SocketRequest { method: "GET", path: "/status", parameters: &[] };
    let Err(Failure::Unanswered(error)) = ask(Path::new("/nowhere/control.sock"), &question) else { panic!() };
    assert!(error.starts_with("failed to ask the agent at `/nowhere/control.sock`: no such file"), "{error}");
}
