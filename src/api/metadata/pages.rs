//! The agent's own pages: health, readiness, metrics and the store.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value, json};

use super::Service;
use crate::logic::base::json;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::AddressHolder;
use crate::logic::operator::outage::Outages;
use crate::logic::operator::port_holder::TakenPort;
use crate::logic::policy::arn::NamedRole;
use crate::logic::policy::needs_namespaces;
use crate::logic::request::message::Response;
use crate::logic::request::reply;
use crate::state::shared_world::SharedWorld;

/// Facts about the node and the agent.
#[derive(Debug, Default)]
pub struct Facts {
    /// The node's address, for `/healthz`
    pub host_ip: String,
    /// Empty until read from the metadata service
    pub instance_id: RwLock<String>,
    pub shutting_down: AtomicBool,
    /// Whether an agent that shares the listener hasn't listed the pods yet
    pub successor_waits: AtomicBool,
    /// The process that holds a port of this agent
    pub taken_port: RwLock<Option<TakenPort>>,
    /// Why the port of `/metrics` isn't open
    pub missing_metrics: RwLock<Option<String>>,
    /// Whether the redirect is enabled but not in place
    pub redirect_missing: AtomicBool,
    /// Whether the address of container credentials is enabled but not in place
    pub address_missing: AtomicBool,
    /// Why another agent or program keeps that address; `None` if this agent does, or if it is disabled
    pub address_unkept: RwLock<Option<String>>,
    /// The ARN of the agent's credentials, once STS has returned it
    pub caller: RwLock<Option<String>>,
    /// Why the base ARN or the default role hasn't been discovered
    pub undiscovered: RwLock<Option<Undiscovered>>,
    /// Outages of STS and of the node's own credentials
    pub outages: Mutex<Outages>,
}

/// Why a discovery hasn't succeeded yet.
#[derive(Clone, Debug)]
pub struct Undiscovered {
    pub since: Mono,
    pub cause: String,
}

impl Facts {
    pub(super) fn health(&self) -> Response {
        reply::health(&self.host_ip, &self.instance_id.read())
    }

    pub(super) fn readiness(&self, world: &SharedWorld, now: Mono) -> Response {
        reply::readiness(self.unready(world, now).map_or(Ok(()), Err))
    }

    /// Why the agent isn't ready; `None` if it is.
    pub fn unready(&self, world: &SharedWorld, now: Mono) -> Option<&'static str> {
        let missing = world.read(|world, rules| match rules {
            None => Some("roles are not discovered yet"),
            Some(rules) if world.is_unready(|| needs_namespaces(world, rules), now).is_some() => {
                Some("the API server refuses the agent: see `kube2iam status`")
            }
            Some(_) => world.missing().map(|resource| match resource {
                Resource::Pods => "pods are not listed yet",
                Resource::Namespaces => "namespaces are not listed yet",
                Resource::ServiceAccounts => "service accounts are not listed yet",
            }),
        });
        let leaving = self.shutting_down.load(Ordering::Relaxed).then_some("shutting down");
        let open = self.redirect_missing.load(Ordering::Relaxed).then_some("the redirect does not stand");
        let address = self.address_missing.load(Ordering::Relaxed).then_some("169.254.170.2 is not in place");
        // Probes reach both agents at one address: a ready response would end this agent before the successor is ready.
        let successor = self.successor_waits.load(Ordering::Relaxed).then_some("the next agent is not ready yet");
        leaving.or(open).or(address).or(missing).or(successor)
    }
}

impl Service {
    /// `/metrics`
    pub fn metrics(&self) -> Response {
        let metrics = &self.telemetry.metrics;
        let now = self.clock.now().mono;
        let ages: Vec<_> =
            self.world.read(|world, _| world.watched().map(|resource| (resource, world.age(resource, now))).collect());
        metrics.ready.set(if self.facts.unready(&self.world, now).is_none() { 1.0 } else { 0.0 });
        metrics.sample(&self.sessions.counts(), &ages);
        if let Some(proof) = &self.proof {
            let (known, now) = (proof.keys.known().issuer, self.clock.now().wall);
            metrics.container.sample_keys(known.as_ref().map(|issuer| (&*issuer.name, now.since(issuer.read))));
        }
        match metrics.render() {
            Ok(text) => Response { content_type: METRICS.into(), ..Response::text(200, text) },
            Err(cause) => Response::text(500, format!("failed to render metrics: {cause}\n")),
        }
    }
}

/// `/debug/store`, with kube2iam's keys.
pub(super) fn store(world: &SharedWorld) -> Response {
    world.read(|world, _| {
        let (mut roles, mut namespaces, mut lists) = (Map::new(), Map::new(), Map::new());
        for pod in world.pods() {
            for address in pod.addresses.iter() {
                if matches!(world.holder(*address), AddressHolder::Pod(holder) if holder.uid == pod.uid) {
                    roles.insert(address.to_string(), pod.role().map(NamedRole::written).unwrap_or_default().into());
                    namespaces.insert(address.to_string(), (*pod.namespace).into());
                }
            }
        }
        for (name, namespace) in world.namespaces() {
            let list = namespace.allowed_roles.iter().flat_map(|held| held.list().written());
            lists.insert(name.to_owned(), list.map(Value::from).collect());
        }
        let store = json!({ "rolesByIP": roles, "namespaceByIP": namespaces, "rolesByNamespace": lists });
        Response::text(200, json::text(&store) + "\n")
    })
}

/// Prometheus's text format, version 0.0.4.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
