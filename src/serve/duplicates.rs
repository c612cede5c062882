//! Addresses that several pods claim: one live list of the API server tells who holds them now.
//!
//! The list only chooses among pods that the picture knows. It is never painted into the picture:
//! a watch event may have overtaken it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use parking_lot::{Condvar, Mutex};

use crate::desk::PEER_STARTS;
use crate::logic::bucket::Buckets;
use crate::logic::kubernetes::Pod;
use crate::logic::time::Mono;
use crate::ports::{Clock, Kubernetes};
use crate::telemetry::Telemetry;

/// The live lookup of `--resolve-duplicate-cache-ips`. One list per address at a time, and only so many per peer.
pub struct Duplicates {
    kubernetes: Arc<dyn Kubernetes>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
    done: Condvar,
}

struct State {
    lookups: HashMap<IpAddr, Lookup>,
    starters: Buckets<IpAddr>,
}

/// How far the lookup of an address is.
#[derive(Clone)]
enum Lookup {
    UnderWay,
    /// The uid of the one holder, if there is one; good until then
    Done(Option<String>, Mono),
}

impl Duplicates {
    pub fn new(kubernetes: Arc<dyn Kubernetes>, clock: Arc<dyn Clock>, telemetry: Arc<Telemetry>) -> Self {
        let state = State { lookups: HashMap::new(), starters: Buckets::new(PEER_STARTS) };
        Self { kubernetes, clock, telemetry, state: Mutex::new(state), done: Condvar::new() }
    }

    /// The uid of the pod that holds `address` by the API server's word. Asks it, or waits for who asks already;
    /// `None` if it knows no single holder or can't be asked.
    pub fn resolve(&self, address: IpAddr, deadline: Mono) -> Option<String> {
        let mut state = self.state.lock();
        loop {
            let now = self.clock.now().mono;
            match state.lookups.get(&address).cloned() {
                Some(Lookup::Done(holder, until)) if now < until => return holder,
                Some(Lookup::UnderWay) if now >= deadline => return None,
                Some(Lookup::UnderWay) => {}
                _ if !state.may_start(address, now) => return None,
                _ => break,
            }
            self.done.wait_for(&mut state, now.until(deadline));
        }
        state.lookups.insert(address, Lookup::UnderWay);
        drop(state);
        let mut lookup = UnderWay { duplicates: self, address, holder: None };
        lookup.holder = self.ask(address);
        lookup.holder.clone()
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
                warn!("failed to list the pods at `{address}`: {}", failure.cause);
                None
            }
        }
    }
}

impl State {
    fn may_start(&mut self, address: IpAddr, now: Mono) -> bool {
        self.lookups.retain(|_, lookup| !matches!(lookup, Lookup::Done(_, until) if now >= *until));
        let under_way = self.lookups.values().filter(|lookup| matches!(lookup, Lookup::UnderWay)).count();
        under_way < MOST_LISTS && self.starters.take(address, now)
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

/// Hands in the result and wakes the others, however the lookup ended.
struct UnderWay<'a> {
    duplicates: &'a Duplicates,
    address: IpAddr,
    holder: Option<String>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let until = self.duplicates.clock.now().mono.after(REMEMBERED);
        self.duplicates.state.lock().lookups.insert(self.address, Lookup::Done(self.holder.take(), until));
        self.duplicates.done.notify_all();
    }
}

/// Live lists at a time.
const MOST_LISTS: usize = 4;
/// The answer serves those who waited for it and those right behind them.
const REMEMBERED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::world::tests::pod;

    #[test]
    fn one_live_pod_that_stays_holds_the_address() {
        let deleting = |uid| Pod { deleting: true, ..pod(uid, "10.0.0.1") };
        let finished = |uid| Pod { finished: true, ..pod(uid, "10.0.0.1") };
        let host = |uid| Pod { host_network: true, ..pod(uid, "10.0.0.1") };
        let running = |uid| pod(uid, "10.0.0.1");
        for (pods, holder) in [
            (vec![], None),
            (vec![running("a")], Some("a")),
            (vec![running("a"), deleting("b"), finished("c"), host("d")], Some("a")),
            (vec![deleting("b"), finished("c")], Some("b")),
            (vec![running("a"), running("b")], None),
            (vec![deleting("a"), deleting("b")], None),
        ] {
            assert_eq!(one_holder(pods).as_deref(), holder);
        }
    }
}
