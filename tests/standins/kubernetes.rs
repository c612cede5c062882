//! A Kubernetes API server to be played with: lists in pages, watches with bookmarks, and every way to break both.
//!
//! Objects have the shape of real ones, faults come when told. Clients see only HTTP; tests hold [`Kubernetes`].

mod answer;
mod events;
mod issuer;
mod model;
mod node;
mod objects;
#[path = "../../src/logic/identity/tests/signing.rs"]
pub mod signing;
mod watch;
mod writes;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use super::wire::Wire;
use super::{PATIENCE, Times};
pub use issuer::{ISSUER, IssuerDocument, Verifier};
use model::Model;
pub use objects::{Kind, PodSpec};
use objects::{namespace_json, service_account_json};

/// The API server, listening until dropped.
pub struct Kubernetes {
    wire: Wire,
    shared: Arc<Shared>,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    List(Kind),
    Watch(Kind),
    /// One object by its name
    Get(Kind),
    Patch(Kind),
    /// Over HTTP: create, patch, delete
    Write(Kind),
    /// What is published of the issuer of tokens
    Issuer(IssuerDocument),
    /// An Event that is written
    Event,
    Any,
}

/// How a request is refused before anything of it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403, 429, 500, ...; with `Retry-After` if given.
    Status {
        code: u16,
        retry_after_s: Option<u32>,
    },
    /// 410 as the status of the answer.
    Gone,
    Close,
    Stall,
    /// 200 and half of an answer.
    HalfBody,
    /// 200 and something that isn't JSON.
    Garbage,
}

/// What befalls a watch that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Ends in good order, as API servers do every few minutes.
    End,
    /// The connection ends between two lines.
    Close,
    /// Nothing comes any more, not even an end.
    Stall,
    /// The connection ends in the middle of a line.
    HalfLine,
    /// A line that isn't JSON; the watch goes on.
    Garbage,
    /// A line of so many bytes that doesn't end.
    Endless { bytes: usize },
    /// An `ERROR` object with code 410, then the end.
    Gone,
    /// An `ERROR` object with code 500, then the end.
    Failed,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `None`: neither a list nor a watch of a kind we know.
    pub on: Option<On>,
    pub target: String,
    pub authorization: Option<String>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    model: Model,
    pods: Vec<PodSpec>,
    /// The only bearer token that is let in; `None` lets everybody in.
    token: Option<String>,
    /// The server's own bound on a page, below what clients ask for.
    page_cap: Option<usize>,
    refusals: Vec<(On, Refusal, Times)>,
    watches: Vec<watch::Open>,
    watches_born: u64,
    seen: Vec<Seen>,
    /// What happens to a node just before it is patched
    meddling: Option<node::Meddling>,
    events: Vec<Value>,
    issuer: issuer::Issuer,
}

impl Kubernetes {
    /// Starts with the namespaces `default` and `kube-system` and no pod.
    pub fn start() -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let answering = shared.clone();
        let wire = Wire::start("kubernetes", move |exchange| answer::answer(&answering, exchange));
        let kubernetes = Self { wire, shared };
        kubernetes.add_namespace("default", &[]);
        kubernetes.add_namespace("kube-system", &[]);
        kubernetes
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }

    /// The connections: cut them, go down, come back.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Adds a pod, or replaces the one of that name, and gives its uid.
    pub fn add_pod(&self, mut pod: PodSpec) -> String {
        self.change(|state| {
            let uid = pod.settle(|| state.model.fresh_uid());
            state.model.put(Kind::Pod, pod.to_json());
            state.pods.retain(|known| (&known.namespace, &known.name) != (&pod.namespace, &pod.name));
            state.pods.push(pod);
            uid
        })
    }

    /// Adds a pod without remembering how it was described, so that a crowd of them is quickly there. It can't be
    /// changed by [`Kubernetes::update_pod`].
    pub fn add_pod_unseen(&self, mut pod: PodSpec) {
        self.change(|state| {
            pod.settle(|| state.model.fresh_uid());
            state.model.put(Kind::Pod, pod.to_json());
        });
    }

    pub fn update_pod(&self, namespace: &str, name: &str, update: impl FnOnce(PodSpec) -> PodSpec) {
        let known =
            self.shared.state.lock().pods.iter().find(|pod| pod.namespace == namespace && pod.name == name).cloned();
        self.add_pod(update(known.unwrap_or_else(|| panic!("there is no pod `{namespace}/{name}`"))));
    }

    pub fn set_phase(&self, namespace: &str, name: &str, phase: &str) {
        self.update_pod(namespace, name, |pod| pod.phase(phase));
    }

    pub fn delete_pod(&self, namespace: &str, name: &str) {
        self.change(|state| {
            state.model.remove(Kind::Pod, &format!("{namespace}/{name}"));
            state.pods.retain(|pod| pod.namespace != namespace || pod.name != name);
        });
    }

    /// Adds a namespace, or replaces it.
    pub fn add_namespace(&self, name: &str, annotations: &[(&str, &str)]) {
        self.change(|state| {
            let uid = state.model.fresh_uid();
            state.model.put(Kind::Namespace, namespace_json(name, &uid, annotations));
        });
    }

    pub fn delete_namespace(&self, name: &str) {
        self.change(|state| state.model.remove(Kind::Namespace, name));
    }

    pub fn add_service_account(&self, namespace: &str, name: &str, annotations: &[(&str, &str)]) {
        self.change(|state| {
            let uid = state.model.fresh_uid();
            state.model.put(Kind::ServiceAccount, service_account_json(namespace, name, &uid, annotations));
        });
    }

    /// Adds an object of any shape; only `metadata.name` must be there.
    pub fn add_raw(&self, kind: Kind, object: Value) {
        self.change(|state| state.model.put(kind, object));
    }

    /// Forgets its history: watches from an earlier version get 410 in the stream, and all lists must begin anew.
    pub fn compact(&self) {
        self.change(|state| {
            state.model.compact();
            state.model.expire_pages();
        });
    }

    /// All continue tokens handed out so far are too old now.
    pub fn expire_pages(&self) {
        self.change(|state| state.model.expire_pages());
    }

    /// Lets in only requests with this bearer token, 401 for the rest.
    pub fn require_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// Hands out pages of at most so many items, whatever limit is asked for.
    pub fn cap_pages(&self, items: usize) {
        self.change(|state| state.page_cap = Some(items));
    }

    pub fn refuse(&self, on: On, refusal: Refusal, times: Times) {
        self.change(|state| state.refusals.push((on, refusal, times)));
    }

    pub fn clear_refusals(&self) {
        self.change(|state| state.refusals.clear());
    }

    /// Breaks all open watches of a kind.
    pub fn break_watches(&self, kind: Kind, how: Break) {
        self.change(|state| state.command(kind, watch::Command::Break(how)));
    }

    /// Sends a bookmark down all open watches of a kind.
    pub fn bookmark(&self, kind: Kind) {
        self.change(|state| state.command(kind, watch::Command::Bookmark));
    }

    pub fn version(&self) -> u64 {
        self.shared.state.lock().model.version()
    }

    /// All requests so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state.lock().seen.clone()
    }

    pub fn count(&self, on: On) -> usize {
        self.shared.state.lock().count(on)
    }

    /// The `Authorization` headers seen so far, in order.
    pub fn authorizations(&self) -> Vec<String> {
        self.seen().into_iter().filter_map(|seen| seen.authorization).collect()
    }

    pub fn open_watches(&self, kind: Kind) -> usize {
        self.shared.state.lock().open_watches(kind)
    }

    /// Waits until a watch of this kind is open; fails the test when it takes longer than `PATIENCE`.
    pub fn wait_for_watch(&self, kind: Kind) {
        self.wait(&format!("a watch of {}", kind.plural()), |state| state.open_watches(kind) > 0);
    }

    /// Waits until there have been `count` such requests in all; fails the test when it takes longer than `PATIENCE`.
    pub fn wait_for(&self, on: On, count: usize) {
        self.wait(&format!("{count} requests of {on:?}"), |state| state.count(on) >= count);
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock();
        while !done(&state) {
            let late = self.shared.changed.wait_until(&mut state, deadline).timed_out();
            assert!(!late || done(&state), "waited in vain for {what}; seen: {:#?}", state.seen);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.state.lock());
        self.shared.changed.notify_all();
        result
    }
}

impl State {
    fn count(&self, on: On) -> usize {
        self.seen.iter().filter(|seen| on == On::Any || seen.on == Some(on)).count()
    }

    fn open_watches(&self, kind: Kind) -> usize {
        self.watches.iter().filter(|open| open.kind == kind).count()
    }

    fn command(&mut self, kind: Kind, command: watch::Command) {
        for open in self.watches.iter_mut().filter(|open| open.kind == kind) {
            open.commands.push_back(command);
        }
    }

    /// Takes the first refusal that fits, once.
    fn refusal(&mut self, on: Option<On>) -> Option<Refusal> {
        let index = self.refusals.iter().position(|(fits, ..)| *fits == On::Any || Some(*fits) == on)?;
        let (_, refusal, times) = &mut self.refusals[index];
        let refusal = *refusal;
        if times.spend() {
            self.refusals.remove(index);
        }
        Some(refusal)
    }
}
