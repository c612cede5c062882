//! The cluster as it is: pods and namespaces with their whole history, and what the API server tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kube2iam::for_tests::Resource;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub role: Option<String>,
    pub external_id: Option<String>,
    pub addresses: Vec<IpAddr>,
    pub finished: bool,
    pub host_network: bool,
    pub deleting: bool,
    /// It is written longer than what is kept of one: nobody can read it, and it is as if it weren't there.
    pub fat: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub uid: String,
    pub allowed: Option<Vec<String>>,
    pub default_role: Option<String>,
    /// See [`Pod::fat`]
    pub fat: bool,
}

/// What there was of something since each version; `None`: nothing any more.
pub type History<T> = Vec<(u64, Option<T>)>;

#[derive(Default)]
pub struct Cluster {
    pub version: u64,
    pub pods: BTreeMap<String, History<Pod>>,
    pub namespaces: BTreeMap<String, History<Namespace>>,
    /// By resource
    pub events: [Vec<Event>; 2],
    /// Uids of what was made anew under its name, with no word on its end
    pub replaced: BTreeSet<String>,
    /// Versions before it are too old for a watch.
    pub compacted: u64,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub version: u64,
    /// When it happened, in microseconds
    pub at: u64,
    /// Whom it is about
    pub subject: String,
    pub kind: &'static str,
    pub object: Value,
}

impl Event {
    pub fn line(&self) -> Vec<u8> {
        json!({ "type": self.kind, "object": self.object }).to_string().into_bytes()
    }
}

pub const fn index(resource: Resource) -> usize {
    match resource {
        Resource::Pods => 0,
        _ => 1,
    }
}

impl Pod {
    /// Whether it holds its addresses.
    pub fn counts(&self) -> bool {
        !self.finished && !self.host_network && !self.fat
    }

    /// Whether its program can ask, and can be read of.
    pub fn runs(&self) -> bool {
        !self.finished && !self.fat
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        self.counts() && self.addresses.contains(&address)
    }

    pub fn json(&self, uid: &str, version: u64) -> Value {
        let mut annotations = serde_json::Map::new();
        let keys = [("iam.amazonaws.com/role", &self.role), ("iam.amazonaws.com/external-id", &self.external_id)];
        for (key, value) in keys {
            value.iter().for_each(|value| drop(annotations.insert(key.to_owned(), value.as_str().into())));
        }
        let mut addresses: Vec<Value> =
            self.addresses.iter().map(|address| json!({ "ip": address.to_string() })).collect();
        addresses.extend(self.fat.then(|| json!({ "ip": "1".repeat(FAT) })));
        let mut object = json!({
            "metadata": {
                "uid": uid, "namespace": self.namespace, "name": self.name,
                "resourceVersion": version.to_string(), "annotations": annotations,
            },
            "spec": { "serviceAccountName": ACCOUNT, "hostNetwork": self.host_network },
            "status": { "phase": if self.finished { "Succeeded" } else { "Running" }, "podIPs": addresses },
        });
        if self.deleting {
            object["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z".into();
        }
        object
    }
}

impl Namespace {
    pub fn json(&self, name: &str, version: u64) -> Value {
        let mut annotations = serde_json::Map::new();
        if let Some(allowed) = &self.allowed {
            annotations.insert("iam.amazonaws.com/allowed-roles".to_owned(), json!(allowed).to_string().into());
        }
        if let Some(role) = &self.default_role {
            annotations.insert("iam.amazonaws.com/default-role".to_owned(), role.as_str().into());
        }
        let uid = if self.fat { self.uid.repeat(FAT / self.uid.len()) } else { self.uid.clone() };
        json!({
            "metadata": {
                "uid": uid, "name": name, "resourceVersion": version.to_string(), "annotations": annotations,
            },
        })
    }
}

impl Cluster {
    pub fn set_pod(&mut self, uid: &str, pod: Option<Pod>, at: u64) {
        self.version += 1;
        let version = self.version;
        let history = self.pods.entry(uid.to_owned()).or_default();
        let last = history.last().and_then(|(_, pod)| pod.clone());
        history.push((version, pod.clone()));
        let Some(shown) = pod.clone().or(last.clone()) else { return };
        let kind = kind(last, pod.as_ref());
        let object = shown.json(uid, version);
        self.events[0].push(Event { version, at, subject: uid.to_owned(), kind, object });
    }

    pub fn set_namespace(&mut self, name: &str, namespace: Option<Namespace>, at: u64) {
        self.version += 1;
        let version = self.version;
        let history = self.namespaces.entry(name.to_owned()).or_default();
        let last = history.last().and_then(|(_, namespace)| namespace.clone());
        history.push((version, namespace.clone()));
        let Some(shown) = namespace.clone().or(last.clone()) else { return };
        let (same, other): (Option<_>, Option<_>) = match last.map(|last| last.uid) {
            Some(uid) if uid == shown.uid => (Some(uid), None),
            uid => (None, uid),
        };
        let kind = kind(same, namespace);
        self.replaced.extend(other);
        let object = shown.json(name, version);
        // One that is made anew under its name is another.
        self.events[1].push(Event { version, at, subject: shown.uid, kind, object });
    }

    /// Makes a pod anew under its name. The end of the old one is never told.
    pub fn replace_pod(&mut self, old: &str, uid: &str, pod: Pod, at: u64) {
        self.replaced.insert(old.to_owned());
        self.set_pod(uid, Some(pod), at);
        self.pods.entry(old.to_owned()).or_default().push((self.version, None));
    }

    /// Pods that are there now.
    pub fn living(&self) -> impl Iterator<Item = (&str, &Pod)> {
        self.pods.iter().filter_map(|(uid, history)| Some((uid.as_str(), last(history)?)))
    }

    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        last(self.namespaces.get(name)?)
    }

    pub fn living_namespaces(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.namespaces.iter().filter_map(|(name, history)| Some((name.as_str(), last(history)?)))
    }

    /// All that a list of now shows.
    pub fn list(&self, resource: Resource) -> Vec<Value> {
        match resource {
            Resource::Pods => self.living().map(|(uid, pod)| pod.json(uid, since(&self.pods[uid]))).collect(),
            _ => {
                let shown = self.living_namespaces();
                shown.map(|(name, namespace)| namespace.json(name, since(&self.namespaces[name]))).collect()
            }
        }
    }
}

fn last<T>(history: &History<T>) -> Option<&T> {
    history.last().and_then(|(_, thing)| thing.as_ref())
}

fn since<T>(history: &History<T>) -> u64 {
    history.last().map_or(0, |(version, _)| *version)
}

fn kind<T, U>(was: Option<T>, is: Option<U>) -> &'static str {
    match (was, is) {
        (_, None) => "DELETED",
        (Some(_), Some(_)) => "MODIFIED",
        (None, Some(_)) => "ADDED",
    }
}

/// What there may have been of something while a reader's picture was at versions `low` to `high`.
pub fn states<T>(history: &History<T>, low: u64, high: u64) -> impl Iterator<Item = Option<&T>> {
    let first = history.iter().rposition(|(version, _)| *version <= low);
    let before = if first.is_none() { Some(None) } else { None };
    let shown = history[first.unwrap_or(0)..].iter().enumerate();
    let shown = shown.filter(move |(at, (version, _))| (*at == 0 && first.is_some()) || *version <= high);
    before.into_iter().chain(shown.map(|(_, (_, thing))| thing.as_ref()))
}

/// More than is kept of any value that is used (of `podIPs` 64 KiB).
const FAT: usize = 70_000;
/// The service account of every pod.
pub const ACCOUNT: &str = "app";

#[test]
fn states_are_those_between_two_versions() {
    let history: History<u8> = vec![(3, Some(1)), (5, Some(2)), (9, None)];
    let between = |low, high| states(&history, low, high).map(|state| state.copied()).collect::<Vec<_>>();
    assert_eq!(between(1, 2), [None]);
    assert_eq!(between(1, 4), [None, Some(1)]);
    assert_eq!(between(4, 4), [Some(1)]);
    assert_eq!(between(4, 5), [Some(1), Some(2)]);
    assert_eq!(between(5, 20), [Some(2), None]);
    assert_eq!(between(9, 9), [None]);
}
