use proptest::prelude::*;

use super::*;

const PAGES: [&str; 3] = [
    include_str!("../../../../tests/fixtures/kubernetes/list-pods-page-1.http"),
    include_str!("../../../../tests/fixtures/kubernetes/list-pods-page-2.http"),
    include_str!("../../../../tests/fixtures/kubernetes/list-pods-page-3.http"),
];
const NAMESPACES: &str = include_str!("../../../../tests/fixtures/kubernetes/list-namespaces.http");
const SERVICE_ACCOUNTS: &str = include_str!("../../../../tests/fixtures/kubernetes/list-serviceaccounts.http");

const FROM_ACCOUNT: &str = "arn:aws:iam::123456789012:role/from-sa";

fn body(recording: &str) -> &str {
    recording.split_once("\r\n\r\n").unwrap().1
}

/// Reads a page from a stream; the names of its items, `?` for an unreadable one.
fn read(json: &[u8], resource: Resource) -> (Result<Page, serde_json::Error>, Vec<String>) {
    let keys = AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    };
    let mut names = Vec::new();
    let mut each = |item: Result<Object, serde_json::Error>| {
        names.push(match item {
            Ok(Object::Pod(pod)) => pod.name,
            Ok(Object::Namespace(namespace)) => namespace.name,
            Ok(Object::ServiceAccount(account)) => {
                format!("{}/{} {}", account.namespace, account.name, account.role.unwrap_or_default())
            }
            Err(_) => "?".to_owned(),
        });
    };
    let seed = ListSeed { resource, keys: &keys, each: &mut each };
    let page = seed.deserialize(&mut serde_json::Deserializer::from_reader(json));
    (page, names)
}

#[test]
fn recorded_pages_are_read_item_by_item() {
    let mut all = Vec::new();
    for (number, recording) in PAGES.iter().enumerate() {
        let (page, names) = read(body(recording).as_bytes(), Resource::Pods);
        let page = page.unwrap();
        assert_eq!((page.version.as_str(), page.unreadable), ("237", 0));
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
fn no_prefix_of_a_page_is_taken_for_a_page() {
    let json = body(PAGES[2]).trim_end().as_bytes();
    for end in 0..json.len() {
        assert!(read(&json[..end], Resource::Pods).0.is_err(), "{end} bytes");
    }
}

#[test]
fn an_unreadable_item_costs_nobody_else_anything() {
    let good = |name| format!(r#"{{"metadata":{{"uid":"u","name":"{name}","resourceVersion":"1"}}}}"#);
    let json = format!(
        r#"{{"items":[{},{{"metadata":7}},null,{}],"metadata":{{"resourceVersion":"5"}}}}"#,
        good("a"),
        good("b")
    );
    let (page, names) = read(json.as_bytes(), Resource::Namespaces);
    assert_eq!(page.unwrap(), Page { version: "5".to_owned(), continuation: None, unreadable: 2 });
    assert_eq!(names, ["a", "?", "?", "b"]);
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
        (r#"{"kind":"Status","code":500}"#, false),
        ("[]", false),
        ("", false),
    ] {
        let (page, names) = read(json.as_bytes(), Resource::Pods);
        assert_eq!(page.is_ok_and(|page| page.continuation.is_none()), readable, "{json}");
        assert!(names.is_empty());
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
