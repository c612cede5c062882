use proptest::prelude::*;

use super::*;
use crate::logic::cluster::kubernetes::object;

const PAGES: [&str; 3] = [
    include_str!("../../../../../tests/fixtures/kubernetes/list-pods-page-1.http"),
    include_str!("../../../../../tests/fixtures/kubernetes/list-pods-page-2.http"),
    include_str!("../../../../../tests/fixtures/kubernetes/list-pods-page-3.http"),
];
const NAMESPACES: &str = include_str!("../../../../../tests/fixtures/kubernetes/list-namespaces.http");
const SERVICE_ACCOUNTS: &str = include_str!("../../../../../tests/fixtures/kubernetes/list-serviceaccounts.http");

const FROM_ACCOUNT: &str = "arn:aws:iam::123456789012:role/from-sa";

fn body(recording: &str) -> &str {
    recording.split_once("\r\n\r\n").unwrap().1
}

/// Parses a page; returns it and the names of its items, `?` for an unreadable one.
fn read(json: &[u8], resource: Resource) -> (Result<ListPage, String>, Vec<String>) {
    read_in(json, resource, json.len().max(1))
}

/// The same in pieces of `bytes`.
fn read_in(json: &[u8], resource: Resource, bytes: usize) -> (Result<ListPage, String>, Vec<String>) {
    let keys = AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    };
    let mut names = Vec::new();
    let mut each = |item: Item| {
        names.push(match item {
            Ok(Object::Pod(pod)) => pod.name,
            Ok(Object::Namespace(namespace)) => namespace.name,
            Ok(Object::ServiceAccount(account)) => {
                format!("{}/{} {}", account.namespace, account.name, account.role.unwrap_or_default())
            }
            Err(unreadable) => format!("? {}", unreadable.identity),
        });
    };
    let mut reader = PageReader::new(resource, &keys, &mut each);
    let pushed = json.chunks(bytes).try_for_each(|piece| reader.push(piece));
    let page = pushed.and_then(|()| reader.finish());
    (page, names)
}

#[test]
fn recorded_pages_are_parsed_item_by_item() {
    let mut all = Vec::new();
    for (number, recording) in PAGES.iter().enumerate() {
        let (page, names) = read(body(recording).as_bytes(), Resource::Pods);
        let page = page.unwrap();
        assert_eq!(page.version.as_str(), "237");
        assert_eq!(page.continuation.is_some(), number < 2);
        all.extend(names);
    }
    let expected =
        ["host", "job-1", "pending", "web-0", "web-1", "web-2", "web-3", "web-4", "web-5", "web-6"].map(String::from);
    assert_eq!(all, expected);
    let (page, names) = read(body(NAMESPACES).as_bytes(), Resource::Namespaces);
    assert_eq!(page.unwrap().version, "237");
    assert_eq!(names, ["batch", "default", "kube-node-lease", "kube-public", "kube-system", "shop"]);
    let (page, names) = read(body(SERVICE_ACCOUNTS).as_bytes(), Resource::ServiceAccounts);
    assert_eq!(page.unwrap().version, "237");
    assert_eq!(names[..2], ["batch/app", "shop/app"].map(|account| format!("{account} {FROM_ACCOUNT}")));
}

#[test]
fn no_truncated_page_is_accepted() {
    let json = body(PAGES[2]).trim_end().as_bytes();
    for end in 0..json.len() {
        assert!(read(&json[..end], Resource::Pods).0.is_err(), "{end} bytes");
    }
}

#[test]
fn an_unreadable_item_does_not_affect_others() {
    let good = |name| format!(r#"{{"metadata":{{"uid":"u","name":"{name}","resourceVersion":"1"}}}}"#);
    let json = format!(
        r#"{{"items":[{},{{"metadata":7}},null,{{"metadata":{{"name":"x","uid":7}}}},{}],"metadata":{{"resourceVersion":"5"}}}}"#,
        good("a"),
        good("b")
    );
    let (page, names) = read(json.as_bytes(), Resource::Namespaces);
    assert_eq!(page.unwrap(), ListPage { version: "5".to_owned(), continuation: None });
    assert_eq!(names, ["a", "? an unknown one", "? an unknown one", "? x", "b"]);
}

#[test]
fn pieces_of_any_size_give_the_same_page() {
    let json = body(PAGES[0]).trim_end().as_bytes();
    let whole = read(json, Resource::Pods);
    for bytes in 1..200 {
        assert_eq!(read_in(json, Resource::Pods, bytes), whole, "{bytes}");
    }
}

/// Where the metadata stands in an object.
#[derive(Clone, Copy)]
enum MetadataPlace {
    First,
    Last,
}

/// A pod with `args` before or after its metadata.
fn fat(name: &str, args: &str, place: MetadataPlace) -> Vec<u8> {
    let metadata = format!(r#""metadata":{{"uid":"{name}","namespace":"n","name":"{name}","resourceVersion":"1"}}"#);
    let args = format!(r#""spec":{{"containers":[{{"args":["{args}"]}}]}}"#);
    let parts = match place {
        MetadataPlace::First => [metadata, args],
        MetadataPlace::Last => [args, metadata],
    };
    format!("{{{}}}", parts.join(",")).into_bytes()
}

fn page_of(items: &[Vec<u8>]) -> Vec<u8> {
    let items = items.join(&b","[..]);
    [&br#"{"metadata":{"resourceVersion":"5"},"items":["#[..], &items, b"]}"].concat()
}

#[test]
fn a_long_item_is_parsed_and_one_beyond_the_limit_is_skipped_and_reported() {
    let (long, longer) = (r"\u003c".repeat((9 << 20) / 6), "x".repeat(70 << 20));
    for place in [MetadataPlace::First, MetadataPlace::Last] {
        let page = page_of(&[fat("a", &long, place), fat("b", &longer, place), fat("c", "x", place)]);
        let (page, names) = read_in(&page, Resource::Pods, 16 * 1024);
        assert_eq!(page.unwrap().version, "5");
        assert_eq!(names, ["a", "? n/b", "c"]);
    }
}

#[test]
fn an_endless_item_is_reported_and_ends_the_list() {
    let keys = crate::logic::cluster::kubernetes::object::tests::keys();
    let mut names = Vec::new();
    let mut each = |item: Item| names.push(item.unwrap_err().identity.to_string());
    let mut reader = PageReader::new(Resource::Pods, &keys, &mut each);
    let beginning = br#"{"items":[{"metadata":{"namespace":"n","name":"p"},"spec":""#;
    let (mut piece, mut pushed) = (beginning.to_vec(), 0);
    let why = loop {
        match reader.push(&piece) {
            Ok(()) => piece = vec![b'x'; 1 << 20],
            Err(why) => break why,
        }
        pushed += 1;
        assert!(pushed < 300, "nothing ends it");
    };
    assert_eq!((why.as_str(), &names[..]), (NO_END, &["n/p".to_owned()][..]));
}

#[test]
fn the_kept_fields_of_an_item_are_limited() {
    let long = "x".repeat(5_000);
    for (item, name) in [
        (format!(r#"{{"metadata":{{"uid":"u","namespace":"n","name":"{long}","resourceVersion":"1"}}}}"#), "? uid u"),
        (format!(r#"{{"metadata":{{"uid":"{long}","namespace":"n","name":"p","resourceVersion":"1"}}}}"#), "? n/p"),
    ] {
        let (page, names) = read_in(&page_of(&[item.into_bytes()]), Resource::Pods, 100);
        assert!(page.is_ok());
        assert_eq!(names, [name]);
    }
    let annotation = format!(r#""iam.amazonaws.com/role":"{}""#, "x".repeat(2 << 20));
    let json = format!(
        r#"{{"metadata":{{"uid":"u","namespace":"n","name":"p","resourceVersion":"1","annotations":{{{annotation}}}}}}}"#
    );
    let (read, _) = object(&json, Resource::Pods, &crate::logic::cluster::kubernetes::object::tests::keys()).unwrap();
    assert!(matches!(read, Object::Pod(pod) if pod.role.as_deref() == Some("<too long>")));
}

#[test]
fn only_a_real_list_is_an_empty_list() {
    for (json, readable) in [
        (r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#, true),
        (r#"{"metadata":{"resourceVersion":"5","continue":""},"items":null}"#, true),
        (r#"{"metadata":{"resourceVersion":"5"}}"#, false),
        (r#"{"metadata":{"resourceVersion":""},"items":[]}"#, false),
        (r#"{"items":[]}"#, false),
        (r#"{"items":[],"items":[],"metadata":{"resourceVersion":"5"}}"#, false),
        (r#"{"metadata":{},"items":{}}"#, false),
        (r#"{"kind":"ApiStatus","code":500}"#, false),
        ("[]", false),
        ("", false),
    ] {
        let (page, names) = read(json.as_bytes(), Resource::Pods);
        assert_eq!(page.is_ok_and(|page| page.continuation.is_none()), readable, "{json}");
        assert!(names.is_empty(), "{json}");
    }
}

proptest! {
    #[test]
    fn a_damaged_page_never_panics(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut page = body(PAGES[2]).as_bytes().to_vec();
        for (index, byte) in damage {
            let at = index.index(page.len());
            page[at] = byte;
        }
        drop(read(&page, Resource::Pods));
        drop(read(&page, Resource::Namespaces));
    }
}

#[test]
fn a_page_of_another_form_is_refused_at_its_first_error() {
    let head = r#"{"metadata":{"resourceVersion":"5"},"items":"#;
    let item = r#"{"metadata":{"name":"a","uid":"u"}}"#;
    for (json, fault) in [
        (format!("{head}[]}} x"), "unexpected `x` after 48 bytes".to_owned()),
        (format!("{head}[]}}}}"), "unexpected `}` after 47 bytes".to_owned()),
        (format!("{head}[{item}}}"), format!("unexpected `}}` after {} bytes", head.len() + item.len() + 1)),
        (r#"{"metadata":{"resourceVersion":"5"]"#.to_owned(), "unexpected `]` after 34 bytes".to_owned()),
        (format!("{head}{{}}}}"), "`items` is no list".to_owned()),
        (format!("{head}7}}"), "`items` is no list".to_owned()),
    ] {
        for bytes in [1, json.len()] {
            assert_eq!(read_in(json.as_bytes(), Resource::Namespaces, bytes).0, Err(fault.clone()), "{json}");
        }
    }
    for json in [format!("{head}[]}} \n"), format!("{head}null}}")] {
        assert!(read(json.as_bytes(), Resource::Namespaces).0.is_ok(), "{json}");
    }
}
