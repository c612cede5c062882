//! The cluster behind the stand-in: objects, versions, and the history that watches are served from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::objects::Kind;

/// All objects, and every change to them since the last compaction.
#[derive(Default)]
pub struct Model {
    version: u64,
    /// Watches from before this version get 410.
    compacted: u64,
    objects: BTreeMap<(Kind, String), Arc<Value>>,
    changes: Vec<Change>,
    /// What is left of lists that were handed out in pages, by continue token.
    pages: HashMap<String, Rest>,
    born: u64,
}

#[derive(Clone)]
struct Rest {
    version: u64,
    items: Vec<Arc<Value>>,
}

struct Change {
    version: u64,
    kind: Kind,
    before: Option<Arc<Value>>,
    after: Option<Arc<Value>>,
}

/// A page of a list.
pub struct Page {
    pub version: u64,
    pub items: Vec<Value>,
    pub continuation: Option<String>,
    pub remaining: usize,
}

/// The changes since a version.
pub struct News {
    /// `ADDED`, `MODIFIED` or `DELETED`, and the object
    pub events: Vec<(&'static str, Value)>,
    /// Where a watch stands once it has told them
    pub version: u64,
}

/// The version or the token is too old.
pub struct Expired;

impl Model {
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Puts an object in place, new or changed.
    pub fn put(&mut self, kind: Kind, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert((kind, key_of(&object)), object.clone());
        self.changes.push(Change { version: self.version, kind, before, after: Some(object) });
    }

    /// The object of that key, `namespace/name` or the name alone, as it is now.
    pub fn get(&self, kind: Kind, key: &str) -> Option<&Value> {
        self.objects.get(&(kind, key.to_owned())).map(|object| &**object)
    }

    /// Takes an object away. `key` is `namespace/name`, or the name alone.
    pub fn remove(&mut self, kind: Kind, key: &str) {
        let gone = self.objects.remove(&(kind, key.to_owned()));
        let mut gone = gone.unwrap_or_else(|| panic!("there is no {} `{key}`", kind.name()));
        self.version += 1;
        Arc::make_mut(&mut gone)["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push(Change { version: self.version, kind, before: Some(gone), after: None });
    }

    /// A uid nobody had before.
    pub fn fresh_uid(&mut self) -> String {
        self.born += 1;
        format!("5ca1ab1e-0000-4000-8000-{:012x}", self.born)
    }

    /// Forgets all history: whoever watches from an earlier version must list again.
    pub fn compact(&mut self) {
        self.version += 1;
        self.compacted = self.version;
        self.changes.clear();
    }

    pub fn expire_pages(&mut self) {
        self.pages.clear();
    }

    /// The objects of a kind now, the first `limit` of them.
    pub fn list(&mut self, kind: Kind, selector: &Selector, limit: usize) -> Page {
        let of_kind = self.objects.iter().filter(|((known, _), object)| *known == kind && selector.takes(object));
        let items = of_kind.map(|(_, object)| object.clone()).collect();
        self.page(Rest { version: self.version, items }, limit)
    }

    /// The next page of an earlier list, as things stood then.
    pub fn list_on(&mut self, token: &str, limit: usize) -> Result<Page, Expired> {
        let rest = self.pages.get(token).cloned().ok_or(Expired)?;
        Ok(self.page(rest, limit))
    }

    fn page(&mut self, mut rest: Rest, limit: usize) -> Page {
        let version = rest.version;
        let left = rest.items.split_off(limit.min(rest.items.len()));
        let (items, remaining) = (rest.items.iter().map(|item| (**item).clone()).collect(), left.len());
        let continuation = (remaining > 0).then(|| {
            let token = format!("page-{version}-{remaining}-{}", self.pages.len());
            self.pages.insert(token.clone(), Rest { version, items: left });
            token
        });
        Page { version, items, continuation, remaining }
    }

    /// What a watch that stands at `version` has to be told.
    pub fn changes_after(&self, kind: Kind, selector: &Selector, version: u64) -> Result<News, Expired> {
        if version < self.compacted {
            return Err(Expired);
        }
        let newer = self.changes.iter().filter(|change| change.kind == kind && change.version > version);
        let events = newer.filter_map(|change| change.seen_through(selector)).collect();
        Ok(News { events, version: self.version.max(version) })
    }

    pub fn too_old(&self, version: u64) -> String {
        format!("too old resource version: {version} ({})", self.compacted)
    }
}

impl Change {
    /// An object that leaves a selector is deleted as far as its watchers go, one that enters is added.
    fn seen_through(&self, selector: &Selector) -> Option<(&'static str, Value)> {
        let before = self.before.as_ref().filter(|object| selector.takes(object));
        let after = self.after.as_ref().filter(|object| selector.takes(object));
        match (before, after) {
            (None, Some(new)) => Some(("ADDED", (**new).clone())),
            (Some(_), Some(new)) => Some(("MODIFIED", (**new).clone())),
            (Some(old), None) => {
                let mut last = (**old).clone();
                last["metadata"]["resourceVersion"] = json!(self.version.to_string());
                Some(("DELETED", last))
            }
            (None, None) => None,
        }
    }
}

/// `namespace/name`, or the name alone.
pub fn key_of(object: &Value) -> String {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    match part("namespace") {
        none if none.is_empty() => part("name"),
        namespace => format!("{namespace}/{}", part("name")),
    }
}

/// A field selector: all terms must hold.
#[derive(Clone, Default)]
pub struct Selector(Vec<(String, Relation, String)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Is,
    IsNot,
}

impl Selector {
    /// Reads `spec.nodeName=n1,status.phase!=Failed`; an `Err` names the field that can't be selected by.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for term in text.split(',').filter(|term| !term.is_empty()) {
            let (field, value) = term.split_once('=').ok_or_else(|| term.to_owned())?;
            let (field, relation) =
                field.strip_suffix('!').map_or((field, Relation::Is), |field| (field, Relation::IsNot));
            if !SELECTABLE.contains(&field) {
                return Err(field.to_owned());
            }
            pairs.push((field.to_owned(), relation, value.trim_start_matches('=').to_owned()));
        }
        Ok(Self(pairs))
    }

    fn takes(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, relation, wanted)| {
            let found = field.split('.').fold(object, |value, part| &value[part]);
            (found.as_str().unwrap_or_default() == wanted) == (*relation == Relation::Is)
        })
    }
}

const SELECTABLE: [&str; 5] = ["spec.nodeName", "status.podIP", "status.phase", "metadata.name", "metadata.namespace"];
