//! Writes to namespaces, pods and service accounts, as far as a test makes them over HTTP: an object is created, changed
//! by a merge patch (RFC 7396), with its status apart, and deleted.

use serde_json::{Map, Value, json};

use super::super::exchange::{Exchange, Reply};
use super::answer::{reply, status};
use super::{Kind, On, Shared, State};

/// A write, as far as its path and method tell.
pub struct Write {
    kind: Kind,
    namespace: Option<String>,
    name: Option<String>,
    part: Part,
    method: String,
}

/// What of an object is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    AllButStatus,
    Status,
}

impl Write {
    /// `None`: it is a read, or of something else.
    pub fn of(exchange: &Exchange) -> Option<Self> {
        let method = exchange.method();
        let path = exchange.target().split('?').next().unwrap_or_default();
        let words: Vec<&str> = path.strip_prefix("/api/v1/namespaces")?.split('/').skip(1).collect();
        let owned = |word: &str| Some(word.to_owned());
        let (kind, namespace, name, part) = match words[..] {
            [] => (Kind::Namespace, None, None, Part::AllButStatus),
            [name] => (Kind::Namespace, None, owned(name), Part::AllButStatus),
            [namespace, plural] => (Kind::from_plural(plural)?, owned(namespace), None, Part::AllButStatus),
            [namespace, plural, name] => {
                (Kind::from_plural(plural)?, owned(namespace), owned(name), Part::AllButStatus)
            }
            [namespace, plural, name, "status"] => {
                (Kind::from_plural(plural)?, owned(namespace), owned(name), Part::Status)
            }
            _ => return None,
        };
        let fits = if name.is_some() { ["PATCH", "DELETE"].contains(&&*method) } else { method == "POST" };
        fits.then_some(Self { kind, namespace, name, part, method })
    }

    pub fn on(&self) -> On {
        On::Write(self.kind)
    }

    fn key(&self, name: &str) -> String {
        self.namespace.as_ref().map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"))
    }
}

pub fn answer(shared: &Shared, mut exchange: Exchange, write: &Write) {
    let content_type = exchange.header("Content-Type").unwrap_or_default();
    let body: Value = serde_json::from_str(&exchange.body()).unwrap_or_default();
    let outcome = {
        let mut state = shared.state.lock();
        match (&*write.method, &write.name) {
            ("PATCH", Some(_)) if content_type != "application/merge-patch+json" => {
                status(415, "UnsupportedMediaType", "the stand-in takes merge patches only")
            }
            ("PATCH", Some(name)) => change(&mut state, write, name, &body),
            ("DELETE", Some(name)) => delete(&mut state, write, name),
            _ => create(&mut state, write, body),
        }
    };
    shared.changed.notify_all();
    exchange.answer(outcome);
}

fn create(state: &mut State, write: &Write, mut object: Value) -> Reply {
    let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
        return status(422, "Invalid", "metadata.name: Required value");
    };
    if let Some(namespace) = &write.namespace {
        if state.model.get(Kind::Namespace, namespace).is_none() {
            return status(404, "NotFound", &format!("namespaces \"{namespace}\" not found"));
        }
        object["metadata"]["namespace"] = json!(namespace);
    }
    let key = write.key(&name);
    if state.model.get(write.kind, &key).is_some() {
        return status(409, "AlreadyExists", &format!("{} \"{name}\" already exists", write.kind.plural()));
    }
    object["metadata"]["uid"] = json!(state.model.fresh_uid());
    if write.kind == Kind::Pod {
        object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
    }
    state.model.put(write.kind, object);
    found(state, write.kind, &key, 201)
}

fn change(state: &mut State, write: &Write, name: &str, patch: &Value) -> Reply {
    let key = write.key(name);
    let Some(before) = state.model.get(write.kind, &key).cloned() else { return missing(write.kind, name) };
    let mut after = before.clone();
    merge(&mut after, patch);
    let (whole, status_of) = match write.part {
        Part::AllButStatus => (after, &before),
        Part::Status => (before, &after),
    };
    let kept = status_of.get("status").cloned();
    let mut object = whole;
    if let Some(kept) = kept {
        object["status"] = kept;
    }
    state.model.put(write.kind, object);
    found(state, write.kind, &key, 200)
}

fn delete(state: &mut State, write: &Write, name: &str) -> Reply {
    let key = write.key(name);
    if state.model.get(write.kind, &key).is_none() {
        return missing(write.kind, name);
    }
    state.model.remove(write.kind, &key);
    reply(200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}).to_string())
}

fn found(state: &State, kind: Kind, key: &str, code: u16) -> Reply {
    reply(code, state.model.get(kind, key).cloned().unwrap_or_default().to_string())
}

fn missing(kind: Kind, name: &str) -> Reply {
    status(404, "NotFound", &format!("{} \"{name}\" not found", kind.plural()))
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        patch.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().into_iter().for_each(|object| drop(object.remove(name)));
        } else {
            merge(&mut target[name], value);
        }
    }
}
