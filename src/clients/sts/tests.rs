mod private_partition;
mod web_identity;

use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::clients::http::TlsOptions;
use crate::clients::stand_in::{Act, SeenRequest, StandIn, WallAt, answer, refused_url};
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::secret::Secret;
use crate::logic::base::url::ServiceUrl;
use crate::logic::request::upstream::ImdsFailure;
use crate::logic::sts::endpoints::StsEndpoints;
use crate::logic::sts::tests::plain_call;

const RECORDED: &str = include_str!("../../../tests/fixtures/sts/assume-role-ok.http");
const UNKNOWN_KEY: &str = include_str!("../../../tests/fixtures/sts/unknown-key.http");
/// 2026-11-23T02:59:47Z, the time of the recordings
const NOW: Wall = Wall::from_unix_seconds(1_795_402_787);
/// For tests without a hanging server: generous for busy machines.
const AMPLE: Duration = Duration::from_secs(20);

/// Returns `KEY1`, and after each reload the next key.
pub(crate) struct Numbered(Mutex<u32>);

impl Numbered {
    fn at(number: u32) -> Arc<Credentials> {
        Arc::new(Credentials {
            access_key_id: format!("KEY{number}"),
            secret_access_key: Secret::new("CANARY-KEY".to_owned()),
            session_token: Some(Secret::new("CANARY-TOKEN".to_owned())),
            expiration: None,
        })
    }
}

impl NodeCredentials for Numbered {
    fn current(&self, _timeout: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Ok(Self::at(*self.0.lock()))
    }

    fn reload(&self, refused: &Credentials) {
        let mut number = self.0.lock();
        if *Self::at(*number) == *refused {
            *number += 1;
        }
    }

    fn describe(&self) -> String {
        "numbered".to_owned()
    }
}

fn wire(url: &str, attempt: Duration) -> Arc<StsWire> {
    let options = StsOptions {
        endpoints: StsEndpoints { override_sts: Some(ServiceUrl::parse(url).unwrap()), ..StsEndpoints::default() },
        region: RegionSource::Given("eu-west-1".to_owned()),
        proxy: ProxyEnvironment::default(),
        tls: TlsOptions::public("STS"),
        attempt,
    };
    Arc::new(StsWire::new(options, WallAt::new(NOW)).unwrap())
}

fn client(url: &str) -> StsClient {
    StsClient::new(wire(url, AMPLE), Arc::new(Numbered(Mutex::new(1))))
}

fn request() -> AssumeRole {
    plain_call("app", "sess")
}

/// The response of a recorded exchange.
fn recorded(exchange: &str) -> String {
    exchange.split_once("\n\n").unwrap().1.to_owned()
}

fn refusal(status: u16, code: &str, headers: &[(&str, &str)]) -> Act {
    let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
    Act::Say(answer(status, headers, &body))
}

fn key_of(seen: &SeenRequest) -> String {
    let authorization = seen.header("authorization").unwrap();
    authorization.split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned()
}

#[test]
fn recorded_exchange_is_signed_and_parsed() {
    let stand_in = StandIn::start(|_, _| Act::SayAndClose(recorded(RECORDED)));
    let assumed = client(&stand_in.url()).assume_role(&request()).unwrap();
    assert_eq!(assumed.life, Duration::from_secs(3_600));
    assert_eq!(assumed.credentials.access_key_id, "ASIARZPUZDIKOYYVOBUF");
    let seen = stand_in.seen().pop().unwrap();
    assert_eq!(RECORDED.lines().next().unwrap(), format!("{} {}", seen.line, seen.body));
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
    assert_eq!(seen.header("accept"), Some("application/xml"));
    assert_eq!(seen.header("host"), stand_in.url().strip_prefix("http://"));
    assert_eq!(seen.header("x-amz-date"), Some("20261123T025947Z"));
    assert_eq!(seen.header("x-amz-security-token"), Some("CANARY-TOKEN"));
    let authorization = seen.header("authorization").unwrap();
    assert!(
        authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=KEY1/20261123/eu-west-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
        ),
        "{authorization}"
    );
}

#[test]
fn failures_have_kind_and_code_and_are_not_retried() {
    for (act, kind, code) in [
        (refusal(403, "AccessDenied", &[]), StsFailureKind::Refused, "AccessDenied"),
        (refusal(400, "Throttling", &[]), StsFailureKind::Throttled, "Throttling"),
        (refusal(500, "InternalFailure", &[]), StsFailureKind::Unavailable, "InternalFailure"),
        (Act::Say(answer(500, &[], "")), StsFailureKind::Unavailable, "Unreadable"),
        (Act::Say(answer(200, &[], "CANARY garbage")), StsFailureKind::Unavailable, "Unreadable"),
        (Act::Say(answer(302, &[("Location", "/elsewhere")], "")), StsFailureKind::Unavailable, "Unreadable"),
        (
            Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned()),
            StsFailureKind::Unavailable,
            "Unreadable",
        ),
        (Act::SayAndClose("not HTTP at all\r\n\r\n".to_owned()), StsFailureKind::Unavailable, "Unreachable"),
        (Act::SayAndClose(answer(200, &[], &"x".repeat(300_000))), StsFailureKind::Unavailable, "Unreadable"),
    ] {
        let act = Mutex::new(Some(act));
        let stand_in = StandIn::start(move |_, _| act.lock().take().unwrap_or(Act::Close));
        let failure = client(&stand_in.url()).assume_role(&request()).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{failure}");
        assert!(!failure.to_string().contains("CANARY"), "{failure}");
        assert_eq!(stand_in.lines(), ["POST /"], "{code}");
    }
    let failure = client(&refused_url()).assume_role(&request()).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::Unavailable, "Unreachable"));
}

#[test]
fn hanging_call_times_out_and_is_not_repeated() {
    let stand_in = StandIn::start(|_, _| Act::Hang);
    let wire = wire(&stand_in.url(), Duration::from_millis(1_000));
    let hanging = StsClient::new(Arc::clone(&wire), Arc::new(Numbered(Mutex::new(1))));
    let begin = wire.now().mono;
    let failure = hanging.assume_role(&request()).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::Unavailable, "Timeout"));
    assert!(wire.now().mono.since(begin) < AMPLE);
    assert_eq!(stand_in.lines().len(), 1);
    let late = hanging.assume_role_within(&request(), Duration::ZERO).unwrap_err();
    assert_eq!(late.code, "Timeout");
}

#[test]
fn expired_keys_are_reloaded_and_the_call_repeated_once() {
    let stand_in = StandIn::start(|seen, _| match key_of(seen).as_str() {
        "KEY1" => refusal(403, "ExpiredToken", &[]),
        _ => Act::SayAndClose(recorded(RECORDED)),
    });
    assert!(client(&stand_in.url()).assume_role(&request()).is_ok());
    let keys: Vec<_> = stand_in.seen().iter().map(key_of).collect();
    assert_eq!(keys, ["KEY1", "KEY2"]);
}

#[test]
fn keys_refused_twice_leave_the_node_without_credentials() {
    let stand_in = StandIn::start(|_, _| Act::SayAndClose(recorded(UNKNOWN_KEY)));
    let failure = client(&stand_in.url()).assume_role(&request()).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoNodeCredentials, "InvalidClientTokenId"));
    assert_eq!(stand_in.lines().len(), 2);
}

#[test]
fn wrong_clock_is_corrected_by_the_response_date_and_stays_corrected() {
    let stand_in = StandIn::start(|seen, _| match seen.header("x-amz-date").unwrap() {
        "20261123T035947Z" => {
            let body = RECORDED.split_once("\r\n\r\n").or_else(|| RECORDED.rsplit_once("\n\n")).unwrap().1;
            Act::Say(answer(200, &[], &body.replace("T03:59:47.946975Z", "T04:59:47Z")))
        }
        _ => refusal(403, "SignatureDoesNotMatch", &[("Date", "Mon, 23 Nov 2026 03:59:47 GMT")]),
    });
    let client = client(&stand_in.url());
    assert_eq!(client.assume_role(&request()).unwrap().life, Duration::from_secs(3_600));
    assert_eq!(stand_in.lines().len(), 2);
    assert!(client.assume_role(&request()).is_ok());
    assert_eq!(stand_in.lines().len(), 3);
}

#[test]
fn signature_rejected_twice_is_a_refusal() {
    let date = [("Date", "Mon, 23 Nov 2026 02:59:47 GMT")];
    let stand_in = StandIn::start(move |_, _| refusal(403, "SignatureDoesNotMatch", &date));
    let failure = client(&stand_in.url()).assume_role(&request()).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoNodeCredentials, "SignatureDoesNotMatch"));
    assert_eq!(stand_in.lines().len(), 2);
}

#[test]
fn each_remedy_is_tried_once_per_call() {
    let stand_in = StandIn::start(|_, before| match before {
        0 => refusal(400, "RequestExpired", &[]),
        1 => refusal(403, "ExpiredToken", &[]),
        _ => refusal(400, "RequestExpired", &[]),
    });
    let failure = client(&stand_in.url()).assume_role(&request()).unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::Unavailable, "RequestExpired"));
    assert_eq!(stand_in.lines().len(), 3);
}

#[test]
fn connection_closed_during_a_call_is_reopened() {
    let stand_in = StandIn::start(|_, before| match before {
        0 => Act::Close,
        _ => Act::SayAndClose(recorded(RECORDED)),
    });
    assert!(client(&stand_in.url()).assume_role(&request()).is_ok());
    assert_eq!(stand_in.lines().len(), 2);
}

#[test]
fn secret_echoed_by_a_server_is_removed_from_the_message() {
    let stand_in = StandIn::start(|seen, _| {
        let token = seen.header("x-amz-security-token").unwrap();
        let body =
            format!("<ErrorResponse><Error><Code>Odd</Code><Message>got {token}</Message></Error></ErrorResponse>");
        Act::Say(answer(400, &[], &body))
    });
    let failure = client(&stand_in.url()).assume_role(&request()).unwrap_err();
    assert_eq!(failure.message, "got [secret]");
}

#[test]
fn caller_identity_is_returned() {
    let stand_in = StandIn::start(|seen, _| {
        assert_eq!(seen.body, "Action=GetCallerIdentity&Version=2011-06-15");
        let result = "<GetCallerIdentityResult><Arn>arn:aws:sts::1:assumed-role/n/i</Arn></GetCallerIdentityResult>";
        Act::Say(answer(200, &[], &format!("<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>")))
    });
    assert_eq!(client(&stand_in.url()).caller_identity().unwrap(), "arn:aws:sts::1:assumed-role/n/i");
}

/// A metadata service with at most one document.
struct OnePath(Option<(&'static str, &'static str)>);

impl crate::ports::Imds for OnePath {
    fn forward(
        &self,
        _: crate::ports::Forwarded,
        _: &crate::logic::request::path::CanonicalPath,
        _: Option<&[u8]>,
    ) -> Result<crate::logic::request::message::Response, ImdsFailure> {
        Err(ImdsFailure { status: None, cause: "not here".to_owned() })
    }

    fn read(&self, path: &str) -> Result<String, ImdsFailure> {
        let known = self.0.filter(|(known, _)| *known == path).map(|(_, text)| text.to_owned());
        known.ok_or_else(|| ImdsFailure { status: None, cause: "no answer".to_owned() })
    }
}

#[test]
fn region_without_a_variable_is_the_instances() {
    let region = |imds| RegionSource::new(None, Arc::new(imds), WallAt::new(NOW)).region();
    assert_eq!(region(OnePath(Some(("/latest/meta-data/placement/region", "eu-north-1")))).unwrap(), "eu-north-1");
    let failure = region(OnePath(None)).unwrap_err();
    assert_eq!(failure.kind, StsFailureKind::NoRegion);
    assert!(failure.message.contains("no answer"), "{failure}");
    let given = RegionSource::new(Some("eu-west-1".to_owned()), Arc::new(OnePath(None)), WallAt::new(NOW));
    assert_eq!(given.region().unwrap(), "eu-west-1");
}

#[test]
fn nonexistent_host_is_unavailable_and_not_a_missing_region() {
    let url = ServiceUrl::parse("https://sts.mars-1.amazonaws.com").unwrap();
    let wire = wire(&url.to_string(), AMPLE);
    let failure = wire.unreached(&wire.endpoint(None).unwrap(), &ureq::Error::HostNotFound);
    assert_eq!((failure.kind, failure.aws_code()), (StsFailureKind::Unavailable, None));
    for words in ["there is no such host", "`sts.mars-1.amazonaws.com`", "is there a region `eu-west-1`?"] {
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[test]
fn unusable_proxy_is_reported_at_start() {
    let options = |proxy: &str| StsOptions {
        endpoints: StsEndpoints::default(),
        region: RegionSource::Given("eu-west-1".to_owned()),
        proxy: ProxyEnvironment { https_proxy: Some(Secret::new(proxy.to_owned())), ..ProxyEnvironment::default() },
        tls: TlsOptions::public("STS"),
        attempt: AMPLE,
    };
    assert!(StsWire::new(options("http://proxy.internal:3128"), WallAt::new(NOW)).is_ok());
    assert!(StsWire::new(options("socks5://proxy.internal"), WallAt::new(NOW)).is_err());
}
