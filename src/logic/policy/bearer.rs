//! Session tokens as the policy sees them: whether one that came is its bearer's, and whether one must come.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Tokens;
use crate::logic::cluster::world::{HeldPod, Holder, World};

/// How long the token is still good for who asks. A pod may have got it at another of its addresses before it was
/// known; while several claim the address it may be any one's of them.
pub(super) fn token_left(
    world: &World,
    holder: &Holder<'_>,
    peer: IpAddr,
    check: &dyn Fn(IpAddr, Option<&str>) -> Option<Duration>,
) -> Option<Duration> {
    match holder {
        Holder::Nobody => check(peer, None),
        Holder::Pod(pod) => check(peer, Some(&pod.uid))
            .or_else(|| pod.addresses.iter().filter(|other| **other != peer).find_map(|other| check(*other, None))),
        Holder::Several(_) => {
            check(peer, None).or_else(|| world.claimants(peer).find_map(|pod| check(peer, Some(&pod.uid))))
        }
    }
}

/// Whether requests of `pod` must bear a session token, as far as it is known.
pub fn is_token_required(world: &World, everywhere: Tokens, pod: Option<&Arc<HeldPod>>) -> bool {
    everywhere == Tokens::Required || pod.is_some_and(|pod| demand_of(world, pod) == Demand::Required)
}

/// Whether a request without a token is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    None,
    Required,
}

fn demand_of(world: &World, pod: &HeldPod) -> Demand {
    match world.namespace(&pod.namespace) {
        _ if pod.v2_required => Demand::Required,
        Some(namespace) if namespace.v2_required => Demand::Required,
        Some(_) => Demand::None,
        // Namespaces are known long before their pods run; one that isn't has nothing to demand.
        None => Demand::None,
    }
}

/// Of several claimants of an address the strictest counts.
pub(super) fn token_demand(world: &World, everywhere: Tokens, holder: &Holder<'_>, peer: IpAddr) -> Demand {
    let of = |pod: &Arc<HeldPod>| demand_of(world, pod);
    match holder {
        _ if everywhere == Tokens::Required => Demand::Required,
        Holder::Nobody => Demand::None,
        Holder::Pod(pod) => of(pod),
        Holder::Several(_) => world.claimants(peer).map(of).max().unwrap_or(Demand::None),
    }
}
