//! Events, as far as somebody writes them: created by POST, changed by a merge patch, kept by name.

use serde_json::{Value, json};

use super::super::exchange::{Exchange, Reply};
use super::answer::{reply, status};
use super::{Kubernetes, PATIENCE, Shared};

impl Kubernetes {
    /// All Events so far, in the order in which they were created.
    pub fn events(&self) -> Vec<Value> {
        self.shared.state.lock().events.clone()
    }

    /// Waits for an Event with this reason and gives it; fails the test when it takes longer than `PATIENCE`.
    pub fn wait_for_event(&self, reason: &str) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(event) = state.events.iter().find(|event| event["reason"] == reason) {
                return event.clone();
            }
            let late = self.shared.changed.wait_until(&mut state, deadline).timed_out();
            assert!(!late, "waited in vain for an Event `{reason}`: {:#?}", state.events);
        }
    }
}

/// The namespace, and with a patch the name, of a write to Events; `None` if the request is none.
pub fn target(exchange: &Exchange) -> Option<(String, Option<String>)> {
    let path = exchange.target().split('?').next().unwrap_or_default();
    let (namespace, rest) = path.strip_prefix("/api/v1/namespaces/")?.split_once('/')?;
    match (exchange.method().as_str(), rest.split_once('/')) {
        ("POST", None) if rest == "events" => Some((namespace.to_owned(), None)),
        ("PATCH", Some(("events", name))) => Some((namespace.to_owned(), Some(name.to_owned()))),
        _ => None,
    }
}

/// What becomes of what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteMode {
    Kept,
    Dry,
}

pub fn write(shared: &Shared, mut exchange: Exchange, namespace: &str, name: Option<&str>) {
    let mode = if exchange.target().contains("dryRun=All") { WriteMode::Dry } else { WriteMode::Kept };
    let body: Value = serde_json::from_str(&exchange.body()).unwrap_or_default();
    let answer = {
        let mut state = shared.state.lock();
        match name {
            None => create(&mut state.events, body, namespace, mode),
            Some(name) => change(&mut state.events, &body, namespace, name, mode),
        }
    };
    shared.changed.notify_all();
    exchange.answer(answer);
}

fn create(events: &mut Vec<Value>, event: Value, namespace: &str, mode: WriteMode) -> Reply {
    let whole = ["/metadata/name", "/involvedObject/name", "/reason", "/message", "/type"];
    if event["metadata"]["namespace"] != namespace
        || event["involvedObject"]["namespace"] != namespace
        || whole.iter().any(|pointer| event.pointer(pointer).and_then(Value::as_str).is_none())
    {
        return status(422, "Invalid", "the Event is invalid");
    }
    if events.iter().any(|known| known["metadata"]["name"] == event["metadata"]["name"]) {
        return status(409, "AlreadyExists", "the Event already exists");
    }
    if mode == WriteMode::Kept {
        events.push(event.clone());
    }
    reply(201, event.to_string())
}

fn change(events: &mut [Value], patch: &Value, namespace: &str, name: &str, mode: WriteMode) -> Reply {
    let known = |event: &&mut Value| event["metadata"] == json!({ "name": name, "namespace": namespace });
    let Some(event) = events.iter_mut().find(known) else {
        return status(404, "NotFound", "the Event was not found");
    };
    if mode == WriteMode::Kept {
        for (key, value) in patch.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
    }
    reply(200, event.to_string())
}
