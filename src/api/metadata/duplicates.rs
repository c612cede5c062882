//! Addresses that several pods claim: one live list of the API server shows which pod holds them now.
//!
//! The list only chooses among pods that the World knows. It is never applied to the World:
//! a watch event may have overtaken it.

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

/// The live lookup of `--resolve-duplicate-cache-ips`. One list per address at a time, and only so many per peer.
pub struct Duplicates {
    kubernetes: Arc<dyn Kubernetes>,
    /// Which counts what each peer starts
    sessions: Arc<SessionCache>,
    time: Arc<dyn Time>,
    telemetry: Arc<Telemetry>,
    lookups: Mutex<HashMap<IpAddr, Lookup>>,
    done: Arc<dyn Notifier>,
}

/// How far the lookup of an address is; it brings the uid of the one holder, if there is one.
type Lookup = Refreshing<Option<String>, Infallible>;

/// What a lookup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The uid of the pod that holds the address by the API server's word
    Holder(String),
    /// It knows no single holder, or can't be asked.
    Nobody,
    /// Too much was asked lately, by this peer or by all.
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

    /// Asks the API server who holds `address`, or waits until `deadline` for who asks already.
    pub fn resolve(&self, address: IpAddr, deadline: Mono) -> Found {
        loop {
            let generation = self.done.generation();
            let now = self.time.now().mono;
            let mut lookups = self.lookups.lock();
            lookups.retain(|_, lookup| lookup.is_fetching() || lookup.usable(now).is_some());
            let under_way = lookups.values().filter(|lookup| lookup.is_fetching()).count();
            if lookups.contains_key(&address) || under_way < MOST_LISTS {
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
        let mut lookup = UnderWay { duplicates: self, address, outcome: None };
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

/// Finished and hostNetwork pods hold nothing; of the rest the one that isn't being deleted.
fn one_holder(pods: Vec<Pod>) -> Option<String> {
    let live: Vec<Pod> = pods.into_iter().filter(|pod| !pod.finished && !pod.host_network).collect();
    let mut staying = live.iter().filter(|pod| !pod.deleting);
    match (staying.next(), staying.next(), live.as_slice()) {
        (Some(pod), None, _) | (None, None, [pod]) => Some(pod.uid.clone()),
        _ => None,
    }
}

/// Hands in the outcome and wakes the others, however the lookup ended.
struct UnderWay<'a> {
    duplicates: &'a Duplicates,
    address: IpAddr,
    /// `None`: it wasn't even asked
    outcome: Option<Option<String>>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let until = self.duplicates.time.now().mono.after(REMEMBERED);
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

/// Live lists at a time.
const MOST_LISTS: usize = 4;
/// The answer serves those who waited for it and those right behind them.
const REMEMBERED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
