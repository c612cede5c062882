//! Addresses claimed by several pods: a live list from the API server shows which pod holds one now.
//!
//! The list only selects among pods that the World contains. It is never applied to the World, since a watch event may
//! be newer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use parking_lot::Mutex;

use crate::logic::base::refreshing::{Lease, RefreshStep, Refreshing};
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::Pod;
use crate::logic::sessions::budget::Starter;
use crate::ports::{Kubernetes, Notifier, Time};
use crate::state::sessions::SessionCache;
use crate::telemetry::Telemetry;

/// The live lookup of `--resolve-duplicate-cache-ips`. One list per address at a time, and a budget per peer.
pub struct Duplicates {
    kubernetes: Arc<dyn Kubernetes>,
    /// Holds the peers' budgets
    sessions: Arc<SessionCache>,
    time: Arc<dyn Time>,
    telemetry: Arc<Telemetry>,
    lookups: Mutex<HashMap<IpAddr, Lookup>>,
    done: Arc<dyn Notifier>,
}

/// The state of an address's lookup; its value is the uid of the only holder, if there is one.
type Lookup = Refreshing<Option<String>, Infallible>;

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The uid of the pod that holds the address according to the API server
    Holder(String),
    /// There is no single holder, or the list failed.
    Nobody,
    /// This peer, or all peers together, made too many lookups recently.
    Busy,
}

impl Duplicates {
    pub fn new(
        kubernetes: Arc<dyn Kubernetes>,
        sessions: Arc<SessionCache>,
        time: Arc<dyn Time>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self { kubernetes, sessions, done: time.notifier(), time, telemetry, lookups: Mutex::default() }
    }

    /// Lists the pods at `address`, or waits until `deadline` for a list already in progress.
    pub fn resolve(&self, address: IpAddr, deadline: Mono) -> Found {
        loop {
            let generation = self.done.generation();
            let now = self.time.now().mono;
            let mut lookups = self.lookups.lock();
            lookups.retain(|_, lookup| lookup.is_fetching() || lookup.usable(now).is_some());
            let under_way = lookups.values().filter(|lookup| lookup.is_fetching()).count();
            if lookups.contains_key(&address) || under_way < MAX_LISTS {
                match lookups.entry(address).or_default().step(now) {
                    RefreshStep::Use(holder) => return holder.map_or(Found::Nobody, Found::Holder),
                    RefreshStep::Fetch => break,
                    RefreshStep::Join if now >= deadline => return Found::Nobody,
                    RefreshStep::Join => {}
                    RefreshStep::Refuse(never) => match never {},
                }
            } else if now >= deadline {
                return Found::Busy;
            }
            drop(lookups);
            self.done.wait(generation, deadline);
        }
        let mut lookup = LookupGuard { duplicates: self, address, outcome: None };
        if !self.sessions.may_start(Starter::Address(address)) {
            return Found::Busy;
        }
        let holder = self.ask(address);
        lookup.outcome = Some(holder.clone());
        holder.map_or(Found::Nobody, Found::Holder)
    }

    fn ask(&self, address: IpAddr) -> Option<String> {
        self.telemetry.metrics.duplicate_lookups.inc();
        match self.kubernetes.pods_at(address) {
            Ok(pods) => {
                let holder = one_holder(pods);
                if holder.is_some() {
                    self.telemetry.metrics.duplicate_lookups_resolved.inc();
                }
                holder
            }
            Err(failure) => {
                let server = self.kubernetes.server();
                warn!("server" = server; "failed to list the pods at `{address}`: {} (API server `{server}`)", failure.cause);
                None
            }
        }
    }
}

/// Ignores finished and hostNetwork pods; of the others, the only one that isn't being deleted.
fn one_holder(pods: Vec<Pod>) -> Option<String> {
    let live: Vec<Pod> = pods.into_iter().filter(|pod| !pod.finished && !pod.host_network).collect();
    let mut staying = live.iter().filter(|pod| !pod.deleting);
    match (staying.next(), staying.next(), live.as_slice()) {
        (Some(pod), None, _) | (None, None, [pod]) => Some(pod.uid.clone()),
        _ => None,
    }
}

/// Records the outcome and wakes the waiters on drop, even after a panic.
struct LookupGuard<'a> {
    duplicates: &'a Duplicates,
    address: IpAddr,
    /// `None`: no list was made
    outcome: Option<Option<String>>,
}

impl Drop for LookupGuard<'_> {
    fn drop(&mut self) {
        let until = self.duplicates.time.now().mono.after(REUSE);
        let mut lookups = self.duplicates.lookups.lock();
        match self.outcome.take() {
            Some(value) => {
                lookups.entry(self.address).or_default().succeed(Lease { value, renew_from: None, end: Some(until) });
            }
            None => drop(lookups.remove(&self.address)),
        }
        drop(lookups);
        self.duplicates.done.notify();
    }
}

/// Concurrent live lists.
const MAX_LISTS: usize = 4;
/// How long a result is reused, for waiters and closely following requests.
const REUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
