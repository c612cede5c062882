//! Lines of a watch, and lists: nothing panics, what is understood is what stands there, what isn't is named in one line.
//! In pieces of any size the same comes of them. A pod that is made anew under its name, or gets too long to be read,
//! leaves nothing of the old one.

use kube2iam::for_tests::{
    AddressHolder, AnnotationKeys, BaseArn, Event, Format, Frame, Item, LineReader, ListPage, Object, PageReader,
    ParsedEvent, Pod, PodTokens, Reading, Resource, Unreadable, WatchLine, World, frame, status,
};
use serde_json::Value;

/// A line as the API server sends it, or a whole list.
pub(crate) fn check(bytes: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    for resource in [Resource::Pods, Resource::Namespaces, Resource::ServiceAccounts] {
        let understood = frame(bytes, resource, &keys());
        match &value {
            Some(value) => compare(&understood, value, bytes, resource),
            // Numbers too large and trees too deep for the reader here are skipped by the agent's.
            None if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => {}
            // What is skipped is not looked at closely: only that it is said in one line counts.
            None => named(&understood),
        }
        list(bytes, resource);
        lines(bytes, resource);
        if let Frame::Added(Object::Pod(pod), _) | Frame::Modified(Object::Pod(pod), _) = &understood {
            made_anew(pod);
        }
        if let (Some(value), Frame::Added(..) | Frame::Modified(..)) = (&value, &understood) {
            grown_fat(&understood, value, resource);
        }
    }
    if let (Some(status), Some(value)) = (status(bytes), &value) {
        let code = value["code"].as_i64().unwrap_or_default();
        assert!(!value.is_object() || status.code == code, "{status:?}");
    }
}

fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    }
}

fn compare(understood: &Frame, value: &Value, bytes: &[u8], resource: Resource) {
    let (kind, object) = (value["type"].as_str().unwrap_or_default(), &value["object"]);
    match understood {
        Frame::Unreadable(Unreadable { why, .. }, _) => {
            one_line(why);
            let said_once = value.to_string().len() == bytes.len();
            assert!(!said_once || !is_complete(kind, object, resource), "{why}: {value}");
        }
        Frame::Gone(why) | Frame::Failed(why) => {
            one_line(why);
            assert!(!value.is_object() || kind == "ERROR");
            let gone = object["code"] == 410 || object["reason"] == "Expired" || object["reason"] == "Gone";
            assert!(!object.is_object() || gone == matches!(understood, Frame::Gone(_)), "{value}");
        }
        Frame::Bookmark(version) => {
            assert!(!value.is_object() || kind == "BOOKMARK" && !version.is_empty());
            assert!(!is_nested(object) || object["metadata"]["resourceVersion"] == version.as_str(), "{value}");
        }
        Frame::Added(found, version) => same(kind, "ADDED", object, found, version),
        Frame::Modified(found, version) => same(kind, "MODIFIED", object, found, version),
        Frame::Deleted(found, version) => same(kind, "DELETED", object, found, version),
    }
}

/// Arrays are taken for objects whose fields come in order, by serde's custom; the reader here leaves them alone.
fn is_nested(object: &Value) -> bool {
    let plain = |value: &Value| value.is_object() || value.is_null();
    object.is_object() && object["metadata"].is_object() && plain(&object["spec"]) && plain(&object["status"])
}

fn same(kind: &str, expected: &str, object: &Value, found: &Object, version: &str) {
    if !is_nested(object) {
        return;
    }
    assert_eq!(kind, expected);
    let metadata = &object["metadata"];
    let is =
        |field: &str, text: &str| assert_eq!(metadata[field].as_str().unwrap_or_default(), text, "{field}: {object}");
    is("resourceVersion", version);
    match found {
        Object::Pod(pod) => {
            is("uid", &pod.uid);
            is("namespace", &pod.namespace);
            is("name", &pod.name);
            same_pod(pod, object);
        }
        Object::Namespace(namespace) => {
            is("uid", &namespace.uid);
            is("name", &namespace.name);
            assert_eq!(
                namespace.allowed_roles.as_deref(),
                metadata["annotations"]["iam.amazonaws.com/allowed-roles"].as_str()
            );
        }
        Object::ServiceAccount(account) => {
            is("uid", &account.uid);
            is("namespace", &account.namespace);
            is("name", &account.name);
            let role = |key: &str| metadata["annotations"][key].as_str().filter(|role| !role.is_empty());
            let expected = role("iam.amazonaws.com/role").or(role("eks.amazonaws.com/role-arn"));
            annotation(account.role.as_deref(), expected, 2_048);
        }
    }
    assert!(!version.is_empty());
}

fn same_pod(pod: &Pod, object: &Value) {
    let (annotations, status) = (&object["metadata"]["annotations"], &object["status"]);
    annotation(pod.role.as_deref(), annotations["iam.amazonaws.com/role"].as_str(), 2_048);
    annotation(pod.external_id.as_deref(), annotations["iam.amazonaws.com/external-id"].as_str(), 1_224);
    let session = pod.session.as_deref();
    let name = session.and_then(|session| session.name.as_deref());
    annotation(name, annotations["iam.amazonaws.com/session-name"].as_str(), 32 * 1_024);
    let demands = annotations["iam.amazonaws.com/imds-v2"].as_str().unwrap_or_default().trim().to_ascii_lowercase();
    assert_eq!(pod.v2_required, demands == "required");
    assert_eq!(pod.deleting, !object["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(pod.host_network, object["spec"]["hostNetwork"] == true);
    assert_eq!(pod.service_account, object["spec"]["serviceAccountName"].as_str().unwrap_or_default());
    assert_eq!(pod.finished, ["Succeeded", "Failed"].map(Value::from).contains(&status["phase"]));
    let written: Vec<&str> = status["podIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["ip"])
        .chain([&status["podIP"]])
        .filter_map(Value::as_str)
        .collect();
    for address in &pod.addresses {
        let means = |text: &&str| text.parse::<std::net::IpAddr>().is_ok_and(|read| read.to_canonical() == *address);
        assert!(status["podIPs"].is_array() && !is_objects(&status["podIPs"]) || written.iter().any(means), "{object}");
        assert_eq!(pod.addresses.iter().filter(|other| *other == address).count(), 1);
    }
}

fn is_objects(list: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().all(Value::is_object))
}

/// An annotation is taken as it stands, or, too long to be any use, as something that is refused later.
fn annotation(found: Option<&str>, written: Option<&str>, longest: usize) {
    match written {
        Some(text) if text.len() > longest => assert_eq!(found, Some("<too long>")),
        _ => assert_eq!(found, written),
    }
}

/// Whether a line has all that the agent asks for, in its plainest form.
fn is_complete(kind: &str, object: &Value, resource: Resource) -> bool {
    let changed = ["ADDED", "MODIFIED", "DELETED"].contains(&kind);
    let has = |field: &str| object["metadata"][field].as_str().is_some_and(|text| !text.is_empty());
    let fields =
        [has("uid"), has("name"), has("resourceVersion"), has("namespace") || resource == Resource::Namespaces];
    let bare = object.as_object().is_some_and(|object| object.len() == 1)
        && object["metadata"].as_object().is_some_and(|metadata| metadata.len() <= 4);
    changed && bare && fields == [true; 4]
}

fn list(bytes: &[u8], resource: Resource) {
    let whole = in_pieces(bytes, resource, bytes.len().max(1));
    if let Ok(page) = &whole.0 {
        assert!(!page.version.is_empty() && page.continuation.as_deref() != Some(""));
    }
    assert!(whole.1.len() <= bytes.len());
    // However it comes, it is the same.
    for length in [1, 7, 64] {
        assert_eq!(in_pieces(bytes, resource, length), whole, "in pieces of {length}");
    }
}

fn in_pieces(bytes: &[u8], resource: Resource, length: usize) -> (Result<ListPage, String>, Vec<Item>) {
    let mut items = Vec::new();
    let mut each = |item: Item| items.push(item);
    let keys = keys();
    let mut reader = PageReader::new(resource, &keys, &mut each);
    let pushed = bytes.chunks(length).try_for_each(|piece| reader.push(piece));
    let page = pushed.and_then(|()| reader.finish());
    (page, items)
}

/// However they come, the lines of a watch are the same.
fn lines(bytes: &[u8], resource: Resource) {
    let whole = lines_in_pieces(bytes, resource, bytes.len().max(1));
    for length in [1, 7, 64] {
        assert_eq!(lines_in_pieces(bytes, resource, length), whole, "in pieces of {length}");
    }
}

/// The lines, and whether the last one ended.
fn lines_in_pieces(bytes: &[u8], resource: Resource, length: usize) -> (Vec<Frame>, bool) {
    let (mut frames, mut reader) = (Vec::new(), LineReader::new(resource, &keys()));
    for mut piece in bytes.chunks(length) {
        while let WatchLine::Line(frame, end) = reader.push(piece) {
            frames.push(frame);
            piece = &piece[end..];
        }
    }
    frames.extend(reader.end());
    (frames, reader.is_between_lines())
}

fn world_of(pod: &Pod) -> World {
    let mut world = World::default();
    tell(&mut world, Event::InitApply(Object::Pod(pod.clone())));
    tell(&mut world, Event::InitDone);
    assert!(world.pod(&pod.uid).is_some());
    world
}

fn tell(world: &mut World, event: Event) {
    let reading = Reading { base: &BaseArn::default(), format: Format::Glob, pod_tokens: PodTokens::Ignored };
    world.apply(Resource::Pods, ParsedEvent::new(event, reading));
}

/// Its end was missed: the old uid is gone all the same, and its addresses are another pod's to have.
fn made_anew(pod: &Pod) {
    let mut world = world_of(pod);
    let anew = Pod { uid: format!("{}-anew", pod.uid), addresses: Vec::new(), ..pod.clone() };
    tell(&mut world, Event::Apply(Object::Pod(anew.clone())));
    is_forgotten(&world, pod);
    assert!(world.pod(&anew.uid).is_some());
    let heir = Pod {
        uid: format!("{}-heir", pod.uid),
        name: format!("{}-heir", pod.name),
        finished: false,
        host_network: false,
        deleting: false,
        ..pod.clone()
    };
    tell(&mut world, Event::Apply(Object::Pod(heir.clone())));
    for address in &pod.addresses {
        assert!(matches!(world.holder(*address), AddressHolder::Pod(held) if *held.uid == *heir.uid), "{pod:?}");
    }
}

fn is_forgotten(world: &World, pod: &Pod) {
    assert!(world.pod(&pod.uid).is_none() && world.pods().all(|held| *held.uid != *pod.uid), "{pod:?}");
    assert!(pod.addresses.iter().all(|address| world.claimants(*address).all(|held| *held.uid != *pod.uid)));
}

/// The same object with more of one value than is kept is named, and nothing of it stays.
fn grown_fat(understood: &Frame, value: &Value, resource: Resource) {
    let (Frame::Added(object, version) | Frame::Modified(object, version)) = understood else { return };
    let mut value = value.clone();
    if !is_nested(&value["object"]) {
        return;
    }
    if let Object::Pod(_) = object {
        value["object"]["status"]["podIPs"] = serde_json::json!([{ "ip": "1".repeat(FAT) }]);
    } else {
        value["object"]["metadata"]["uid"] = "1".repeat(FAT).into();
    }
    let line = format!("{value}\n").into_bytes();
    let (frames, is_over) = lines_in_pieces(&line, resource, 4_093);
    assert_eq!((&frames, is_over), (&lines_in_pieces(&line, resource, line.len()).0, true));
    let [Frame::Unreadable(Unreadable { why, identity, .. }, read)] = frames.as_slice() else {
        panic!("{frames:?} of a fat object")
    };
    one_line(why);
    assert!(identity.is_known(resource) && read.as_ref() == Some(version), "{identity:?} {read:?}");
    if let Object::Pod(pod) = object {
        let mut world = world_of(pod);
        tell(&mut world, Event::Forget(identity.clone()));
        is_forgotten(&world, pod);
    }
}

/// More than is kept of any value that is used.
const FAT: usize = 70_000;

fn named(understood: &Frame) {
    match understood {
        Frame::Unreadable(Unreadable { why, .. }, _) | Frame::Gone(why) | Frame::Failed(why) => one_line(why),
        Frame::Bookmark(version) => assert!(!version.is_empty()),
        Frame::Added(..) | Frame::Modified(..) | Frame::Deleted(..) => {}
    }
}

fn one_line(text: &str) {
    assert!(text.chars().count() <= 400 && !text.chars().any(char::is_control), "{text:?}");
}
