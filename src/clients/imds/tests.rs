use std::io::Read;
use std::time::Duration;

use super::*;
use crate::clients::stand_in::{Act, SeenRequest, StandIn, answer, refused_url};
use crate::logic::request::message::Body as Given;
use crate::os::clock::SystemClock;

const TTL: (&str, &str) = ("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600");
/// For tests without a hanging server: generous for busy machines.
const AMPLE: MetadataLimits = MetadataLimits { total: Duration::from_secs(40), token: Duration::from_secs(20) };
/// For tests with a hanging server.
const QUICK: MetadataLimits = MetadataLimits { total: Duration::from_secs(3), token: Duration::from_millis(500) };

fn service(url: &str) -> MetadataService {
    service_within(url, AMPLE)
}

fn service_within(url: &str, limits: MetadataLimits) -> MetadataService {
    MetadataService::new(&ServiceUrl::parse(url).unwrap(), limits, Arc::new(SystemClock::new())).unwrap()
}

/// A service that issues the token `T` and answers requests that carry it with `documents`.
fn v2(documents: impl Fn(&SeenRequest) -> Act + Send + Sync + 'static) -> StandIn {
    StandIn::start(move |seen, _| match seen.line.as_str() {
        "PUT /latest/api/token" => Act::Say(answer(200, &[TTL], "T")),
        _ if seen.header(access::TOKEN_HEADER) == Some("T") => documents(seen),
        _ => Act::Say(answer(401, &[], "")),
    })
}

fn get<'a>(target: &'a str) -> ImdsCall<'a> {
    ImdsCall { method: Forwarded::Get, target, accept: None }
}

fn whole(body: Given) -> std::io::Result<Vec<u8>> {
    match body {
        Given::Empty => Ok(Vec::new()),
        Given::Owned(bytes) => Ok(bytes),
        Given::Stream { mut source, .. } => {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).map(|_| bytes)
        }
        _ => panic!("a body of another kind"),
    }
}

#[test]
fn one_token_is_used_for_many_reads() {
    let stand_in = v2(|_| Act::Say(answer(200, &[], "i-1\n")));
    let service = service(&stand_in.url());
    assert_eq!(service.read("/latest/meta-data/instance-id").unwrap(), "i-1\n");
    assert_eq!(service.read("/latest/meta-data/instance-id").unwrap(), "i-1\n");
    let get = "GET /latest/meta-data/instance-id";
    assert_eq!(stand_in.lines(), ["PUT /latest/api/token", get, get]);
    let put = &stand_in.seen()[0];
    assert_eq!(put.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
    assert!(put.header("x-forwarded-for").is_none());
}

#[test]
fn rejected_token_is_replaced_once() {
    let stand_in = StandIn::start(|seen, before| match seen.line.as_str() {
        "PUT /latest/api/token" => Act::Say(answer(200, &[TTL], &format!("token-{before}"))),
        _ if seen.header(access::TOKEN_HEADER) == Some("token-2") => Act::Say(answer(200, &[], "ok")),
        _ => Act::Say(answer(401, &[], "")),
    });
    assert_eq!(service(&stand_in.url()).read("/x").unwrap(), "ok");
    assert_eq!(stand_in.lines(), ["PUT /latest/api/token", "GET /x", "PUT /latest/api/token", "GET /x"]);
}

#[test]
fn rejected_token_is_a_failure_and_never_a_401_for_the_pod() {
    let stand_in = StandIn::start(|seen, _| match seen.line.as_str() {
        "PUT /latest/api/token" => Act::Say(answer(200, &[TTL], "T")),
        _ => Act::Say(answer(401, &[], "")),
    });
    let service = service(&stand_in.url());
    assert_eq!(service.relay(&get("/x")).err().unwrap().status, Some(401));
    assert_eq!(stand_in.lines().len(), 4);
}

#[test]
fn version_1_is_used_where_sdks_fall_back_to_it() {
    for status in [403, 404, 405] {
        let stand_in = StandIn::start(move |seen, _| match seen.line.as_str() {
            "PUT /latest/api/token" => Act::Say(answer(status, &[], "")),
            _ if seen.header(access::TOKEN_HEADER).is_none() => Act::Say(answer(200, &[], "v1")),
            _ => Act::Say(answer(400, &[], "")),
        });
        let service = service(&stand_in.url());
        assert_eq!(service.read("/x").unwrap(), "v1", "{status}");
        assert_eq!(service.read("/x").unwrap(), "v1", "{status}");
        assert_eq!(stand_in.lines(), ["PUT /latest/api/token", "GET /x", "GET /x"]);
    }
}

#[test]
fn version_1_is_used_when_a_hop_limit_drops_the_token() {
    let stand_in = StandIn::start(|seen, _| match seen.line.as_str() {
        "PUT /latest/api/token" => Act::Hang,
        _ => Act::Say(answer(200, &[], "v1")),
    });
    assert_eq!(service_within(&stand_in.url(), QUICK).read("/x").unwrap(), "v1");
}

#[test]
fn other_failures_of_the_token_request_are_failures() {
    for status in [400, 500, 503] {
        let stand_in = StandIn::start(move |_, _| Act::Say(answer(status, &[], "")));
        let failure = service(&stand_in.url()).read("/x").unwrap_err();
        assert_eq!(failure.status, Some(status));
        assert_eq!(stand_in.lines(), ["PUT /latest/api/token"]);
    }
    let garbage = StandIn::start(|_, _| Act::Say(answer(200, &[], "<html> no token")));
    assert!(service(&garbage.url()).read("/x").unwrap_err().cause.contains("not a token"));
}

#[test]
fn absent_or_hanging_service_is_a_failure_without_status() {
    let failure = service(&refused_url()).read("/x").unwrap_err();
    assert_eq!(failure.status, None);
    assert!(failure.cause.starts_with("failed to get `metadata token`: "), "{failure}");
    let hanging = v2(|_| Act::Hang);
    let service = service_within(&hanging.url(), QUICK);
    let begin = service.clock.now().mono;
    let failure = service.relay(&get("/x")).err().unwrap();
    assert_eq!(failure.status, None);
    assert!(service.clock.now().mono.since(begin) <= QUICK.total + Duration::from_secs(1));
}

#[test]
fn other_statuses_are_failures_that_name_the_status() {
    let stand_in = v2(|_| Act::Say(answer(404, &[], "no such key")));
    let failure = service(&stand_in.url()).read("/latest/x").unwrap_err();
    assert_eq!(failure.status, Some(404));
    assert_eq!(failure.cause, "failed to get `/latest/x`: it answered with status 404");
}

#[test]
fn only_method_path_and_accept_are_sent_and_only_known_headers_returned() {
    let stand_in = v2(|_| {
        let headers = [
            ("Content-Type", "application/json; charset=x"),
            ("Last-Modified", "Mon, 23 Nov 2026 02:59:43 GMT"),
            ("ETag", "\"e\""),
            ("Accept-Ranges", "none"),
            ("Server", "nginx"),
            ("Set-Cookie", "a=b"),
            ("Keep-Alive", "timeout=5"),
            TTL,
        ];
        Act::Say(answer(404, &headers, "{}"))
    });
    let call = ImdsCall { method: Forwarded::Get, target: "/latest/a%20b?x=1", accept: Some(b"text/html") };
    let response = service(&stand_in.url()).relay(&call).unwrap();
    assert_eq!((response.status, &*response.content_type), (404, "application/json; charset=x"));
    let names: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        names,
        ["Last-Modified: Mon, 23 Nov 2026 02:59:43 GMT", "ETag: \"e\"", "Accept-Ranges: none", "Server: EC2ws"]
    );
    assert_eq!(whole(response.body).unwrap(), b"{}");
    let seen = stand_in.seen().pop().unwrap();
    assert_eq!(seen.line, "GET /latest/a%20b?x=1");
    let mut sent: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["accept", "host", "user-agent", "x-aws-ec2-metadata-token"]);
    assert_eq!(seen.header("accept"), Some("text/html"));
}

#[test]
fn canonical_path_is_sent_with_its_plain_query() {
    let stand_in = v2(|_| Act::Say(answer(200, &[], "there")));
    let service = service(&stand_in.url());
    for (target, forwarded) in [
        ("/latest//meta-data/./x/../hostname", "GET /latest/meta-data/hostname"),
        ("/latest/meta-data/tags/?recursive=true", "GET /latest/meta-data/tags/?recursive=true"),
        ("/latest/meta-data/tags/?a=%2F", "GET /latest/meta-data/tags/"),
    ] {
        let path = CanonicalPath::parse(target, |_| false).unwrap();
        assert_eq!(service.forward(Forwarded::Get, &path, None).unwrap().status, 200);
        assert_eq!(stand_in.lines().pop().unwrap(), forwarded);
    }
}

#[test]
fn head_response_has_the_length_and_no_body() {
    let stand_in = v2(|_| Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned()));
    let call = ImdsCall { method: Forwarded::Head, target: "/x", accept: None };
    let response = service(&stand_in.url()).relay(&call).unwrap();
    assert!(matches!(response.body, Given::Stream { length: Some(5), .. }));
    assert_eq!(&*response.content_type, "text/plain");
    assert_eq!(stand_in.lines()[1], "HEAD /x");
}

#[test]
fn long_responses_are_refused_streamed_or_cut_with_an_error() {
    let limit = 1024 * 1024;
    for (length, declared, streamed, arrives) in [
        (limit, true, true, true),
        (limit, false, true, true),
        (limit + 1, false, true, false),
        (70_000, true, true, true),
        (1_000, false, false, true),
    ] {
        let stand_in = v2(move |_| {
            let body = "x".repeat(length);
            Act::SayAndClose(if declared { answer(200, &[], &body) } else { format!("HTTP/1.1 200 OK\r\n\r\n{body}") })
        });
        let response = service(&stand_in.url()).relay(&get("/x")).unwrap();
        assert_eq!(matches!(response.body, Given::Stream { .. }), streamed, "{length} {declared}");
        assert_eq!(
            whole(response.body).ok().map(|bytes| bytes.len()),
            arrives.then_some(length),
            "{length} {declared}"
        );
    }
    let declared = v2(move |_| Act::SayAndClose(answer(200, &[], &"x".repeat(limit + 1))));
    assert_eq!(service(&declared.url()).relay(&get("/x")).err().unwrap().status, Some(200));
    let broken = v2(|_| Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned()));
    assert!(service(&broken.url()).relay(&get("/x")).is_err());
}

#[test]
fn documents_for_the_agent_are_bounded() {
    let stand_in = v2(|_| Act::SayAndClose(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_DOCUMENT_BYTES + 1))));
    assert!(service(&stand_in.url()).read("/x").unwrap_err().cause.contains("longer than 65536 bytes"));
}

#[test]
fn call_without_a_slot_fails_at_the_deadline_and_streams_hold_slots() {
    let stand_in = v2(|_| Act::SayAndClose(answer(200, &[], &"x".repeat(100_000))));
    let mut service = service(&stand_in.url());
    service.slots = Slots::new(1);
    let held = service.relay(&get("/x")).unwrap();
    service.limits.total = Duration::from_millis(100);
    let failure = service.relay(&get("/x")).err().unwrap();
    assert!(failure.cause.contains("too many calls"), "{failure}");
    drop(held);
    service.limits = AMPLE;
    assert!(service.relay(&get("/x")).is_ok());
}

#[test]
fn connection_closed_during_a_call_is_reopened() {
    let stand_in = StandIn::start(|seen, before| match seen.line.as_str() {
        "PUT /latest/api/token" => Act::Say(answer(200, &[TTL], "T")),
        _ if before == 1 => Act::Close,
        _ => Act::Say(answer(200, &[], "there")),
    });
    assert_eq!(service(&stand_in.url()).read("/x").unwrap(), "there");
    assert_eq!(stand_in.lines(), ["PUT /latest/api/token", "GET /x", "GET /x"]);
}

#[test]
fn region_account_role_and_base_arn_are_discovered() {
    let stand_in = v2(|seen| match seen.line.as_str() {
        "GET /latest/dynamic/instance-identity/document" => {
            Act::Say(answer(200, &[], r#"{"region":"eu-west-1","accountId":"123456789012","instanceId":"i-1"}"#))
        }
        "GET /latest/meta-data/iam/info" => Act::Say(answer(
            200,
            &[],
            r#"{"Code":"Success","InstanceProfileArn":"arn:aws:iam::123456789012:instance-profile/node"}"#,
        )),
        "GET /latest/meta-data/iam/security-credentials/" => Act::Say(answer(200, &[], "node")),
        "GET /latest/meta-data/instance-id" => Act::Say(answer(200, &[], "i-1")),
        _ => Act::Say(answer(404, &[], "")),
    });
    let service = service(&stand_in.url());
    assert_eq!(discovery::region(&service).unwrap(), "eu-west-1");
    assert_eq!(discovery::identity(&service).unwrap().account, "123456789012");
    assert_eq!(discovery::base_arn(&service).unwrap().as_str(), "arn:aws:iam::123456789012:role/");
    assert_eq!(discovery::role_name(&service).unwrap(), "node");
    assert_eq!(discovery::instance_id(&service).unwrap(), "i-1");
}
