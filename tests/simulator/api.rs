//! The API server as one agent sees it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube2iam::for_tests::{
    AnnotationKeys, Item, Kubernetes, KubernetesFailure, KubernetesFailureKind, ListPage, Object, Pod, Resource,
    WatchLines, object,
};
use parking_lot::Mutex;
use serde_json::Value;

use crate::cluster::index;
use crate::plants::Plant;
use crate::sim::Sim;
use crate::watch::Lines;

pub struct Api {
    sim: Arc<Sim>,
    agent: usize,
    shut: Arc<AtomicBool>,
    /// What is left of lists whose first pages were read, and of what version they are
    pages: Mutex<HashMap<String, (Vec<Value>, u64)>>,
    /// With [`Plant::ListIsSwappedInEarly`]: what comes after the list was taken for whole
    held_back: Mutex<[Vec<Value>; 2]>,
}

impl Api {
    pub fn new(sim: Arc<Sim>, agent: usize) -> Self {
        let (shut, pages) = (Arc::new(AtomicBool::new(false)), Mutex::default());
        Self { sim, agent, shut, pages, held_back: Mutex::default() }
    }

    /// The way there and back, and what may happen on it.
    fn call(&self, resource: Resource, longest_us: u64) -> Result<(), KubernetesFailure> {
        let took = if self.sim.strikes(|swarm| swarm.lag, 6) { longest_us } else { 20_000 };
        self.sim.stage.pause(self.sim.roll(took) + 1);
        if self.shut.load(Ordering::SeqCst) {
            return Err(unavailable("shut down"));
        }
        if self.sim.strikes(|swarm| swarm.refusals, 4) {
            return Err(match self.sim.roll(4) {
                0 => {
                    let now = self.sim.stage.now();
                    self.sim.feed(self.agent, resource, |feed| feed.refused_at = Some(now));
                    failure(KubernetesFailureKind::Forbidden, "forbidden")
                }
                1 => failure(KubernetesFailureKind::Unavailable { retry_after_s: Some(2) }, "busy"),
                _ => unavailable("refused"),
            });
        }
        Ok(())
    }

    /// A page's items and where the next begins.
    fn page(&self, resource: Resource, continuation: Option<&str>) -> Option<(Vec<Value>, u64, Option<String>)> {
        let (mut items, version) = match continuation {
            Some(token) => self.pages.lock().remove(token)?,
            None => {
                let cluster = &self.sim.truth.lock().cluster;
                (cluster.list(resource), cluster.version)
            }
        };
        self.sim.feed(self.agent, resource, |feed| feed.ceiling = feed.ceiling.max(version));
        let size = if self.sim.roll(2) == 0 { items.len() } else { 3 };
        let rest = items.split_off(size.min(items.len()));
        if rest.is_empty() {
            return Some((items, version, None));
        }
        if self.sim.has(Plant::ListIsSwappedInEarly) {
            self.held_back.lock()[index(resource)] = rest;
            return Some((items, version, None));
        }
        let token = format!("{:x}", self.sim.number());
        self.pages.lock().insert(token.clone(), (rest, version));
        Some((items, version, Some(token)))
    }
}

impl Kubernetes for Api {
    fn list(
        &self,
        resource: Resource,
        continuation: Option<&str>,
        each: &mut dyn FnMut(Item),
    ) -> Result<ListPage, KubernetesFailure> {
        self.call(resource, 20_000_000)?;
        let is_gone = continuation.is_some() && self.sim.strikes(|swarm| swarm.gone, 3);
        let page = self.page(resource, continuation).filter(|_| !is_gone);
        let Some((items, version, next)) = page else {
            return Err(failure(KubernetesFailureKind::Gone, "the continue token is too old"));
        };
        let breaks_at = self.sim.strikes(|swarm| swarm.breaks, 5).then(|| self.sim.roll(items.len() as u64 + 1));
        for (number, item) in (0..).zip(&items) {
            if breaks_at == Some(number) {
                return Err(unavailable("the list broke off"));
            }
            each(read(&shown(&self.sim, item), resource));
            self.sim.stage.crossing();
            if self.sim.strikes(|swarm| swarm.lag, 10) {
                self.sim.stage.pause(2_000_000);
            }
        }
        self.sim.stage.note(&format!("agent {}: {} {resource} of version {version}", self.agent, items.len()));
        if next.is_none() {
            let now = self.sim.stage.now();
            self.sim.feed(self.agent, resource, |feed| (feed.listed, feed.current_at) = (Some(version), now));
        }
        Ok(ListPage { version: version.to_string(), continuation: next })
    }

    fn watch(&self, resource: Resource, version: &str) -> Result<Box<dyn WatchLines>, KubernetesFailure> {
        let from: u64 = version.parse().expect("versions are handed back as they came");
        let (step, was_listed) = (self.sim.stage.steps(), self.is_whole(resource, from));
        self.call(resource, 2_000_000)?;
        let too_old = self.sim.truth.lock().cluster.compacted > from;
        if self.sim.strikes(|swarm| swarm.gone, 8) || (too_old && self.sim.roll(2) == 0) {
            return Err(failure(KubernetesFailureKind::Gone, "too old resource version"));
        }
        let held_back = std::mem::take(&mut self.held_back.lock()[index(resource)]);
        let mut lines = Lines::open(self.sim.clone(), self.agent, resource, from, self.shut.clone());
        lines.is_gone = too_old;
        lines.add(held_back);
        if was_listed {
            lines.replay(step);
        }
        Ok(Box::new(lines))
    }

    fn pods_at(&self, address: IpAddr) -> Result<Vec<Pod>, KubernetesFailure> {
        let under_way = {
            let mut truth = self.sim.truth.lock();
            truth.live_lists += 1;
            truth.live_lists
        };
        if under_way > MOST_LIVE_LISTS * self.sim.agents.lock().len() {
            self.sim.stage.blame("no cap is exceeded", &format!("{under_way} live lists"));
        }
        let called = self.call(Resource::Pods, 900_000);
        let mut truth = self.sim.truth.lock();
        truth.live_lists -= 1;
        called?;
        let at = truth.cluster.living().filter(|(_, pod)| pod.addresses.first() == Some(&address));
        let pods = at.map(|(uid, pod)| match read(&pod.json(uid, 1), Resource::Pods) {
            Ok(Object::Pod(pod)) => Ok(pod),
            _ => Err(unavailable("unreadable ones")),
        });
        pods.collect()
    }

    fn shut_down(&self) {
        self.shut.store(true, Ordering::SeqCst);
        self.sim.stage.notify(self.sim.changed);
    }
}

impl Api {
    /// Whether the picture is exactly that of `from`: a list of it was handed over just now.
    fn is_whole(&self, resource: Resource, from: u64) -> bool {
        let step = self.sim.stage.steps();
        self.sim.feed(self.agent, resource, |feed| {
            let was_listed = feed.listed.take() == Some(from);
            if was_listed {
                feed.lost = None;
                feed.remember(step);
                feed.is_listed_once = true;
            }
            feed.told = from;
            feed.set_floor(step, from);
            was_listed
        })
    }
}

/// An object as the agent gets to see it.
pub fn shown(sim: &Sim, object: &Value) -> Value {
    let mut object = object.clone();
    if sim.has(Plant::KeyForgetsExternalId)
        && let Some(annotations) = object["metadata"]["annotations"].as_object_mut()
    {
        annotations.remove("iam.amazonaws.com/external-id");
    }
    object
}

fn read(json: &Value, resource: Resource) -> Item {
    object(&json.to_string(), resource, &keys()).map(|(object, _)| object)
}

pub fn keys() -> AnnotationKeys {
    AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    }
}

pub fn unavailable(cause: &str) -> KubernetesFailure {
    failure(KubernetesFailureKind::Unavailable { retry_after_s: None }, cause)
}

fn failure(kind: KubernetesFailureKind, cause: &str) -> KubernetesFailure {
    KubernetesFailure { kind, cause: cause.to_owned() }
}

/// Of one agent (manifests/docs/operate.md, "Limits")
const MOST_LIVE_LISTS: usize = 4;
