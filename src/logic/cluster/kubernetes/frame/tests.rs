use proptest::prelude::*;

use super::*;
use crate::logic::cluster::kubernetes::Object;

const EVENTS: &str = include_str!("../../../../../tests/fixtures/kubernetes/watch-events.http");
const INITIAL: &str = include_str!("../../../../../tests/fixtures/kubernetes/watch-list.http");
const NAMESPACES: &str = include_str!("../../../../../tests/fixtures/kubernetes/watch-namespaces.http");
const GONE: &str = include_str!("../../../../../tests/fixtures/kubernetes/watch-gone.http");

fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    }
}

/// The lines of a recorded watch: the body starts after the first empty line.
fn lines(recording: &str) -> impl Iterator<Item = &str> {
    recording.split_once("\r\n\r\n").unwrap().1.lines().filter(|line| !line.is_empty())
}

/// The kind, the name, the role and addresses, and the version.
fn describe(frame: &Frame) -> String {
    let of = |object: &Object| match object {
        Object::Pod(pod) => format!("{} {:?} {:?} deleting={}", pod.name, pod.role, pod.addresses, pod.deleting),
        Object::Namespace(namespace) => format!("{} {:?}", namespace.name, namespace.allowed_roles),
        Object::ServiceAccount(account) => format!("{} {:?}", account.name, account.role),
    };
    match frame {
        Frame::Added(object, version) => format!("+ {} @{version}", of(object)),
        Frame::Modified(object, version) => format!("~ {} @{version}", of(object)),
        Frame::Deleted(object, version) => format!("- {} @{version}", of(object)),
        Frame::Bookmark(version) => format!("= @{version}"),
        Frame::Gone(message) => format!("gone: {message}"),
        Frame::Failed(message) => format!("failed: {message}"),
        Frame::Unreadable(object, _) if object.identity.is_known(object.resource) => {
            format!("unreadable {}", object.identity)
        }
        Frame::Unreadable(..) => "unreadable".to_owned(),
    }
}

fn check(recording: &str, resource: Resource, expected: &[&str]) {
    let read: Vec<_> = lines(recording).map(|line| describe(&frame(line.as_bytes(), resource, &keys()))).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_recorded_watch_is_parsed_in_order() {
    check(
        EVENTS,
        Resource::Pods,
        &[
            r#"+ late Some("shop-late") [] deleting=false @240"#,
            r#"~ late Some("shop-late") [10.1.0.40] deleting=false @241"#,
            r#"~ late Some("shop-changed") [10.1.0.40] deleting=false @242"#,
            r#"~ pending Some("shop-1") [10.1.0.41] deleting=false @243"#,
            r#"~ web-6 Some("shop-6") [10.1.0.16] deleting=false @244"#,
            r#"~ web-0 Some("shop-0") [10.1.0.10] deleting=true @245"#,
            r#"~ web-0 Some("shop-0") [10.1.0.10] deleting=true @246"#,
            r#"- web-0 Some("shop-0") [10.1.0.10] deleting=true @247"#,
            r#"~ late Some("shop-changed") [10.1.0.40] deleting=true @248"#,
            r#"- late Some("shop-changed") [10.1.0.40] deleting=true @249"#,
            r#"+ heir Some("shop-heir") [] deleting=false @250"#,
            r#"~ heir Some("shop-heir") [10.1.0.40] deleting=false @251"#,
            "= @261",
            "= @261",
        ],
    );
    check(
        NAMESPACES,
        Resource::Namespaces,
        &[
            "+ batch None @217",
            "+ default None @21",
            "+ kube-node-lease None @30",
            "+ kube-public None @11",
            "+ kube-system None @4",
            r#"+ shop Some("[\"shop-*\", \"arn:aws:iam::210987654321:role/shared\"]") @215"#,
        ],
    );
}

#[test]
fn bookmarks_of_initial_events_are_bookmarks() {
    let last = lines(INITIAL).last().unwrap();
    assert_eq!(frame(last.as_bytes(), Resource::Pods, &keys()), Frame::Bookmark("237".to_owned()));
}

#[test]
fn a_recorded_410_is_gone() {
    check(GONE, Resource::Pods, &["gone: too old resource version: 237 (273)"]);
}

#[test]
fn error_objects_are_distinguished_and_malformed_lines_reported() {
    for (line, expected) in [
        (r#"{"type":"ERROR","object":{"reason":"Gone"}}"#, "gone: "),
        (r#"{"type":"ERROR","object":{"code":500,"message":"etcd\nsays no"}}"#, "failed: etcd says no"),
        (r#"{"type":"ERROR","object":{"code":"410"}}"#, "unreadable"),
        (r#"{"type":"ERROR"}"#, "failed: "),
        (r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#, "unreadable"),
        (r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":""}}}"#, "unreadable"),
        (r#"{"type":"RENAMED","object":{}}"#, "unreadable"),
        (
            r#"{"type":"ADDED","object":{"metadata":{"name":"shop","uid":"u","resourceVersion":"1"}}}"#,
            "unreadable shop",
        ),
        (r#"{"object":{"metadata":{"namespace":"n","name":"p"}}}"#, "unreadable n/p"),
        (r#"{"object":{"metadata":{"namespace":"n","name":"p"}},"type":"ADDED"#, "unreadable n/p"),
        (r#"{"object":{"metadata":{"namespace":"n","name":"p"}} "type":"ADDED"}"#, "unreadable n/p"),
        (r#"{"type":"ADDED","object":null}"#, "unreadable"),
        (r#"{"type":"ADDED","object":7}"#, "unreadable"),
        ("{}", "unreadable"),
        ("null", "unreadable"),
        ("\u{0}", "unreadable"),
        ("", "unreadable"),
    ] {
        assert_eq!(describe(&frame(line.as_bytes(), Resource::Pods, &keys())), expected, "{line}");
    }
}

#[test]
fn causes_fit_one_short_line() {
    let line = format!(r#"{{"type":"{}","object":{{}}}}"#, "\\n".repeat(5_000));
    let Frame::Unreadable(object, _) = frame(line.as_bytes(), Resource::Pods, &keys()) else { panic!("read") };
    let cause = object.why;
    assert!(cause.len() <= CAUSE_CHARACTERS && !cause.contains('\n'), "{cause}");
}

#[test]
fn no_truncated_line_is_accepted() {
    for line in lines(EVENTS).chain(lines(GONE)).step_by(4) {
        for end in 0..line.len() {
            let read = frame(&line.as_bytes()[..end], Resource::Pods, &keys());
            assert!(matches!(read, Frame::Unreadable(..)), "{end} bytes of {line}");
        }
    }
}

#[test]
fn deep_nesting_is_unreadable_or_skipped() {
    let deep = "[".repeat(200_000);
    let line = format!(r#"{{"type":"ADDED","object":{{"x":{deep}"#);
    assert!(matches!(frame(line.as_bytes(), Resource::Pods, &keys()), Frame::Unreadable(..)));
}

/// All frames of a stream that arrives in pieces of `bytes`.
fn read_in(flow: &[u8], bytes: usize) -> Vec<String> {
    let mut reader = LineReader::new(Resource::Pods, &keys());
    let mut read = Vec::new();
    for mut piece in flow.chunks(bytes) {
        while let WatchLine::Line(frame, end) = reader.push(piece) {
            read.push(describe(&frame));
            piece = &piece[end..];
        }
    }
    assert!(reader.is_between_lines());
    read
}

#[test]
fn pieces_of_any_size_give_the_same_lines() {
    let flow = format!(
        "\n\n{}\nnonsense\n\r\n{}\n",
        lines(EVENTS).collect::<Vec<_>>().join("\n"),
        lines(GONE).next().unwrap()
    );
    let whole = read_in(flow.as_bytes(), flow.len());
    assert_eq!((whole.len(), whole[14].as_str()), (16, "unreadable"));
    for bytes in 1..300 {
        assert_eq!(read_in(flow.as_bytes(), bytes), whole, "{bytes}");
    }
}

#[test]
fn a_long_line_is_parsed_and_one_beyond_the_limit_is_skipped_and_reported() {
    let line = |kind: &str, name: &str, args: &str| {
        let metadata = format!(r#"{{"uid":"{name}","namespace":"n","name":"{name}","resourceVersion":"7"}}"#);
        format!(r#"{{"object":{{"spec":{{"x":["{args}"]}},"metadata":{metadata}}},"type":"{kind}"}}{}"#, '\n')
    };
    let (long, longer) = (r"\u003c".repeat((9 << 20) / 6), "x".repeat(70 << 20));
    let flow = [line("ADDED", "a", &long), line("DELETED", "b", &longer), line("MODIFIED", "c", "x")].concat();
    let expected = ["+ a None [] deleting=false @7", "unreadable n/b", "~ c None [] deleting=false @7"];
    assert_eq!(read_in(flow.as_bytes(), 16 * 1024), expected);
}

#[test]
fn an_endless_line_is_reported_and_ends_the_watch() {
    let mut reader = LineReader::new(Resource::Pods, &keys());
    let beginning = br#"{"type":"ADDED","object":{"metadata":{"namespace":"n","name":"p"},"spec":""#;
    assert!(matches!(reader.push(beginning), WatchLine::More));
    let piece = vec![b'x'; 1 << 20];
    let endless = (0..300).map(|_| reader.push(&piece)).find(|lined| !matches!(lined, WatchLine::More));
    let Some(WatchLine::Endless(frame)) = endless else { panic!("{endless:?}") };
    assert_eq!(describe(&frame), "unreadable n/p");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        frame(&bytes, Resource::Pods, &keys());
        frame(&bytes, Resource::Namespaces, &keys());
        status(&bytes);
    }

    #[test]
    fn a_damaged_line_never_panics(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut line = lines(EVENTS).nth(1).unwrap().as_bytes().to_vec();
        for (index, byte) in damage {
            let at = index.index(line.len());
            line[at] = byte;
        }
        frame(&line, Resource::Pods, &keys());
        frame(&line, Resource::Namespaces, &keys());
    }
}

#[test]
fn a_status_is_parsed_if_it_is_one() {
    let gone = status(br#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#).unwrap();
    assert!(gone.is_gone() && gone.message == "too old" && gone.code == 410);
    assert_eq!(status(b"<html>"), None);
}

#[test]
fn a_malformed_line_without_an_end_is_reported_after_the_last_piece() {
    let keys = keys();
    let mut reader = LineReader::new(Resource::Pods, &keys);
    assert_eq!(reader.end(), None);
    assert!(matches!(reader.push(b"nonsense"), WatchLine::More));
    assert!(matches!(reader.end(), Some(Frame::Unreadable(..))));
}

#[test]
fn a_malformed_line_counts_towards_the_limit_of_endless_lines() {
    let keys = keys();
    let mut reader = LineReader::new(Resource::Pods, &keys);
    assert!(matches!(reader.push(b"nonsense"), WatchLine::More));
    reader.scanner.record().bytes = 268_435_456;
    assert!(matches!(reader.push(b"x"), WatchLine::Endless(_)));
}

#[test]
fn an_object_is_read_up_to_its_greatest_length() {
    let keys = keys();
    let mut reader = LineReader::new(Resource::Pods, &keys);
    let record = reader.scanner.record();
    record.bytes = 67_108_864;
    assert_eq!(record.check(), Ok(()));
    record.bytes += 1;
    assert_eq!(record.check(), Err("it is longer than 64 MiB".to_owned()));
}

/// The API server may escape every character of a name.
#[test]
fn the_longest_name_of_an_annotation_is_found_in_any_spelling() {
    let role = format!("{}/{}", "d".repeat(253), "n".repeat(63));
    let escaped: String = role.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let keys = AnnotationKeys { role, ..keys() };
    let metadata = r#""name":"a","namespace":"shop","uid":"u","resourceVersion":"5","annotations""#;
    let line = format!(r#"{{"type":"ADDED","object":{{"metadata":{{{metadata}:{{"{escaped}":"app"}}}}}}}}"#);
    assert_eq!(describe(&frame(line.as_bytes(), Resource::Pods, &keys)), r#"+ a Some("app") [] deleting=false @5"#);
}

/// Limits in bytes of JSON, both quotes included.
#[test]
fn fields_are_read_up_to_their_greatest_length() {
    for (letters, read) in [(4_094, true), (4_095, false)] {
        let metadata = format!(r#"{{"name":"a","uid":"{}","resourceVersion":"5"}}"#, "u".repeat(letters));
        let line = format!(r#"{{"type":"ADDED","object":{{"metadata":{metadata}}}}}"#);
        let found = frame(line.as_bytes(), Resource::Namespaces, &keys());
        assert_eq!(matches!(found, Frame::Added(..)), read, "{letters}");
    }
    for (letters, read) in [(65_534, true), (65_535, false)] {
        let line = format!(r#"{{"type":"ERROR","object":{{"code":500,"message":"{}"}}}}"#, "m".repeat(letters));
        let found = frame(line.as_bytes(), Resource::Namespaces, &keys());
        assert_eq!(matches!(found, Frame::Failed(_)), read, "{letters}");
    }
}
