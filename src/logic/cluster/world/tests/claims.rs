//! Claims to addresses stand and fall with their pods, whatever the API server reports in whatever order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::logic::base::tests::SeededRandom;
use crate::logic::cluster::kubernetes::ObjectIdentity;

/// Events of a seed.
struct Chance(SeededRandom);

impl Chance {
    /// A pod of few UIDs, names and addresses, so that they meet.
    fn pod(&mut self) -> Pod {
        let addresses = (0..self.0.below(3)).map(|_| format!("10.0.0.{}", self.0.below(4)).parse().unwrap()).collect();
        Pod {
            name: format!("pod-{}", self.0.below(4)),
            addresses,
            finished: self.0.below(5) == 0,
            host_network: self.0.below(5) == 0,
            deleting: self.0.below(4) == 0,
            ..pod(&format!("uid-{}", self.0.below(6)), "10.0.0.9")
        }
    }

    fn event(&mut self) -> Event {
        match self.0.below(8) {
            0 => Event::Delete(Object::Pod(self.pod())),
            1 => Event::Forget(self.identity()),
            2 => Event::Init,
            3 => Event::InitDone,
            4 => Event::InitApply(Object::Pod(self.pod())),
            _ => Event::Apply(Object::Pod(self.pod())),
        }
    }

    /// Of an object that couldn't be read: its name, its UID, or both.
    fn identity(&mut self) -> ObjectIdentity {
        let Pod { namespace, name, uid, .. } = self.pod();
        let named = self.0.below(2) == 0;
        ObjectIdentity {
            namespace: named.then_some(namespace),
            name: named.then_some(name),
            uid: (!named || self.0.below(2) == 0).then_some(uid),
        }
    }
}

/// The claims that are held, and those that the known pods make.
fn claims(world: &World) -> [BTreeSet<(IpAddr, String)>; 2] {
    let held = world.holders.iter().flat_map(|(address, holders)| {
        let uids = match holders {
            Holders::One(uid) => vec![uid.to_string()],
            Holders::Many(uids) => uids.iter().map(ToString::to_string).collect(),
        };
        uids.into_iter().map(|uid| (*address, uid))
    });
    let made = world.pods().filter(|pod| pod.counts());
    let made = made.flat_map(|pod| pod.addresses.iter().map(|address| (*address, pod.uid.to_string())));
    [held.collect(), made.collect()]
}

#[test]
fn no_claim_outlives_its_pod_and_no_pod_lacks_one() {
    let mut most = 0;
    for seed in 0..50 {
        let (mut chance, mut world) = (Chance(SeededRandom(seed)), World::default());
        for step in 0..400 {
            let event = chance.event();
            apply_event(&mut world, Resource::Pods, event.clone(), Format::Glob);
            let [held, made] = claims(&world);
            assert_eq!(held, made, "seed {seed}, step {step}: {event:?}");
            most = most.max(held.len());
        }
    }
    assert!(most > 4, "nothing was claimed: {most}");
}
