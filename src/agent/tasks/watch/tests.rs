use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::logic::base::time::{Now, Wall};
use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Frame, Item, KubernetesFailure, KubernetesFailureKind, ListPage, Object, Pod, frame,
};

/// The fake's next response.
enum Answer {
    /// Items, version, continuation.
    Page(&'static [&'static str], &'static str, Option<&'static str>),
    Refuse(KubernetesFailureKind),
    Watch(&'static [Output]),
}

/// The next output of an open watch; the end of the list is an orderly end.
#[derive(Clone, Copy)]
enum Output {
    Line(&'static str),
    Break,
    /// Advances the clock by this many milliseconds.
    Pass(u64),
}

/// An API server that plays a script in virtual time. The end of the script is shutdown.
#[derive(Clone, Default)]
struct ScriptedServer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    micros: AtomicU64,
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<String>>,
}

impl ScriptedServer {
    fn see(&self, what: &str) {
        let millis = self.0.micros.load(Ordering::Relaxed) / 1_000;
        self.0.seen.lock().push(format!("{millis} {what}"));
    }

    fn pass(&self, millis: u64) {
        self.0.micros.fetch_add(millis * 1_000, Ordering::Relaxed);
    }

    fn answer(&self) -> Answer {
        self.0.answers.lock().pop_front().expect("no call is made after shutdown")
    }

    fn wait(&self, until: Mono, _: Cut) -> Waited {
        if self.0.answers.lock().is_empty() && until > self.now().mono {
            return Waited::ShutDown;
        }
        self.0.micros.fetch_max(until.micros(), Ordering::Relaxed);
        Waited::Elapsed
    }
}

impl Clock for ScriptedServer {
    fn now(&self) -> Now {
        Now { mono: Mono::from_micros(self.0.micros.load(Ordering::Relaxed)), wall: Wall::default() }
    }
}

impl Kubernetes for ScriptedServer {
    fn list(
        &self,
        _: Resource,
        continuation: Option<&str>,
        each: &mut dyn FnMut(Item),
    ) -> Result<ListPage, KubernetesFailure> {
        self.see(&format!("list {}", continuation.unwrap_or("from the start")));
        match self.answer() {
            Answer::Page(items, version, continuation) => {
                items.iter().for_each(|name| each(Ok(namespace(name))));
                let continuation = continuation.map(str::to_owned);
                Ok(ListPage { version: version.to_owned(), continuation })
            }
            Answer::Refuse(kind) => Err(KubernetesFailure { kind, cause: "refused".to_owned() }),
            Answer::Watch(_) => panic!("a list was asked for, the script has a watch"),
        }
    }

    fn watch(&self, _: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure> {
        self.see(&format!("watch from {version}"));
        match self.answer() {
            Answer::Watch(outputs) => Ok(Box::new(Lines { server: self.clone(), outputs: outputs.iter() })),
            Answer::Refuse(kind) => Err(KubernetesFailure { kind, cause: "refused".to_owned() }),
            Answer::Page(..) => panic!("a watch was asked for, the script has a page"),
        }
    }

    fn pods_at(&self, _: IpAddr) -> Result<Vec<Pod>, KubernetesFailure> {
        Ok(Vec::new())
    }

    fn shut_down(&self) {}
}

struct Lines {
    server: ScriptedServer,
    outputs: std::slice::Iter<'static, Output>,
}

impl WatchLines for Lines {
    fn next_line(&mut self) -> Result<Option<Frame>, KubernetesFailure> {
        loop {
            return match self.outputs.next() {
                Some(Output::Line(line)) => Ok(Some(frame(line.as_bytes(), Resource::Namespaces, &keys()))),
                Some(Output::Break) => {
                    let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
                    Err(KubernetesFailure { kind, cause: "broken".to_owned() })
                }
                Some(Output::Pass(millis)) => {
                    self.server.pass(*millis);
                    continue;
                }
                None => Ok(None),
            };
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.server.see("hang up");
    }
}

fn namespace(name: &str) -> Object {
    let json = format!(r#"{{"metadata":{{"uid":"u","name":"{name}","resourceVersion":"1"}}}}"#);
    crate::logic::cluster::kubernetes::object(&json, Resource::Namespaces, &keys()).unwrap().0
}

fn keys() -> AnnotationKeys {
    AnnotationKeys { role: String::new(), external_id: String::new(), allowed_roles: String::new() }
}

fn describe(event: &Event) -> String {
    let name = |object: &Object| match object {
        Object::Namespace(namespace) => namespace.name.clone(),
        Object::Pod(pod) => pod.name.clone(),
        Object::ServiceAccount(account) => account.name.clone(),
    };
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("listed {}", name(object)),
        Event::InitDone => "done".to_owned(),
        Event::Apply(object) => format!("apply {}", name(object)),
        Event::Delete(object) => format!("delete {}", name(object)),
        Event::Forget(identity) => format!("forget {identity}"),
    }
}

/// Plays a script with random numbers in the middle of their range; returns all events with their milliseconds.
fn play(answers: Vec<Answer>) -> Vec<String> {
    let server = ScriptedServer::default();
    server.0.answers.lock().extend(answers);
    Reflector {
        kubernetes: &server,
        resource: Resource::Namespaces,
        clock: &server,
        wait: &|until, cut| server.wait(until, cut),
        random: &|| 1 << 63,
        apply: &|event| server.see(&describe(&event)),
        note: &|note| {
            if !matches!(note, WatchNote::Heard | WatchNote::Watching | WatchNote::Listed { .. }) {
                server.see(&format!("{note:?}").split([' ', '{', '(']).next().unwrap().to_lowercase());
            }
        },
    }
    .run();
    server.0.seen.lock().clone()
}

const ADDED: Output =
    Output::Line(r#"{"type":"ADDED","object":{"metadata":{"uid":"u","name":"new","resourceVersion":"6"}}}"#);
const DELETED: Output =
    Output::Line(r#"{"type":"DELETED","object":{"metadata":{"uid":"u","name":"new","resourceVersion":"7"}}}"#);
const GONE: Output = Output::Line(r#"{"type":"ERROR","object":{"code":410,"message":"too old"}}"#);
const ODD: Output = Output::Line("{");
const UNREADABLE: Output = Output::Line(r#"{"type":"MODIFIED","object":{"metadata":{"uid":7,"name":"odd"}}}"#);
const UNAVAILABLE: KubernetesFailureKind = KubernetesFailureKind::Unavailable { retry_after_s: None };

#[test]
fn paged_list_then_changes_then_a_resumed_watch() {
    let seen = play(vec![
        Answer::Page(&["a"], "5", Some("more")),
        Answer::Page(&["b"], "5", None),
        Answer::Watch(&[Output::Pass(300_000), ADDED]),
        Answer::Watch(&[DELETED, Output::Break]),
        Answer::Watch(&[]),
    ]);
    let expected = [
        "0 list from the start",
        "0 init",
        "0 listed a",
        "0 list more",
        "0 listed b",
        "0 done",
        "0 watch from 5",
        "300000 apply new",
        "300000 ended",
        "300000 hang up",
        "300100 watch from 6",
        "300100 delete new",
        "300100 ended",
        "300100 hang up",
        "300200 watch from 7",
        "300200 ended",
        "300200 hang up",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn expired_version_is_relisted_after_closing_the_watch() {
    let seen = play(vec![
        Answer::Page(&["a"], "5", None),
        Answer::Watch(&[ADDED, GONE]),
        Answer::Page(&["b"], "9", None),
        Answer::Refuse(KubernetesFailureKind::Gone),
    ]);
    let expected = [
        "0 list from the start",
        "0 init",
        "0 listed a",
        "0 done",
        "0 watch from 5",
        "0 apply new",
        "0 relisting",
        "0 hang up",
        "100 list from the start",
        "100 init",
        "100 listed b",
        "100 done",
        "100 watch from 9",
        "100 relisting",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn refusals_back_off_and_unreadable_objects_are_dropped_or_relisted() {
    let seen = play(vec![
        Answer::Refuse(UNAVAILABLE),
        Answer::Refuse(KubernetesFailureKind::Forbidden),
        Answer::Page(&[], "5", None),
        Answer::Watch(&[UNREADABLE, ADDED, ODD]),
        Answer::Page(&["new"], "8", None),
        Answer::Watch(&[]),
    ]);
    let expected = [
        "0 list from the start",
        "0 backedoff",
        "1200 list from the start",
        "1200 backedoff",
        "2400 list from the start",
        "2400 init",
        "2400 done",
        "2400 watch from 5",
        "2400 forget odd",
        "2400 unreadable",
        "2400 apply new",
        "2400 relisting",
        "2400 hang up",
        "2500 list from the start",
        "2500 init",
        "2500 listed new",
        "2500 done",
        "2500 watch from 8",
        "2500 ended",
        "2500 hang up",
    ];
    assert_eq!(seen, expected);
}
