//! Session tokens as the policy sees them: whether one that came is its bearer's, and whether one must come.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Ask, Denial, Patience, TokenRequirement};
use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::{AddressHolder, HeldPod, World};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::policy::reason::Reason;

/// How long the token is still good for who asks. A pod may have got it at another of its addresses before it was
/// known; while several claim the address it may be any one's of them.
pub(super) fn token_left(
    world: &World,
    holder: &AddressHolder<'_>,
    peer: IpAddr,
    check: &dyn Fn(IpAddr, Option<&str>) -> Option<Duration>,
) -> Option<Duration> {
    match holder {
        AddressHolder::Nobody => check(peer, None),
        AddressHolder::Pod(pod) => check(peer, Some(&pod.uid))
            .or_else(|| pod.addresses.iter().filter(|other| **other != peer).find_map(|other| check(*other, None))),
        AddressHolder::Several(_) => {
            check(peer, None).or_else(|| world.claimants(peer).find_map(|pod| check(peer, Some(&pod.uid))))
        }
    }
}

/// Whether requests of `pod` must bear a session token, as far as it is known.
pub fn is_token_required(world: &World, everywhere: TokenRequirement, pod: Option<&Arc<HeldPod>>) -> bool {
    everywhere == TokenRequirement::Required || pod.is_some_and(|pod| demand_of(world, pod) == Demand::Required)
}

/// Whether a request without a token is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    None,
    /// The pod's namespace isn't known, and may be one of those that demand tokens: nothing of the pod's own is given.
    Unknown,
    Required,
}

fn demand_of(world: &World, pod: &HeldPod) -> Demand {
    match world.namespace(&pod.namespace) {
        _ if pod.v2_required => Demand::Required,
        Some(namespace) if namespace.v2_required => Demand::Required,
        None if world.namespaces().any(|(_, namespace)| namespace.v2_required) => Demand::Unknown,
        Some(_) | None => Demand::None,
    }
}

/// What a request comes to that bears no token which is known to be good: what is demanded of it, if it may go on.
pub(super) fn without_good_token(
    world: &World,
    keys: &TokenKeys,
    ask: &Ask<'_, '_>,
    holder: &AddressHolder<'_>,
    now: Wall,
) -> Result<Demand, Denial> {
    let demand = token_demand(world, ask.tokens, holder, ask.peer);
    match (ask.token, demand) {
        (None, Demand::Required) => Err(Denial::Refused(Reason::TokenRequired)),
        (None, _) => Ok(demand),
        (Some(token), Demand::None | Demand::Unknown) if keys.is_foreign(token) => Ok(demand),
        (Some(token), _) if matches!(holder, AddressHolder::Nobody) && keys.may_be_of_pod(token, now) => {
            Err(unchecked(world, ask.patience))
        }
        (Some(_), _) => Err(Denial::Refused(Reason::TokenInvalid)),
    }
}

/// A pod's token can't be checked before the pod is known: it is refused only when the pod would be known by now.
fn unchecked(world: &World, patience: Patience) -> Denial {
    match patience {
        Patience::Left => Denial::NotYet(Reason::UnknownPod),
        Patience::Exhausted if !world.is_ready() => Denial::Refused(Reason::NotReady),
        Patience::Exhausted if world.is_failing(Resource::Pods) => Denial::Refused(Reason::WatchBroken),
        Patience::Exhausted => Denial::Refused(Reason::TokenInvalid),
    }
}

/// Of several claimants of an address the strictest counts.
fn token_demand(world: &World, everywhere: TokenRequirement, holder: &AddressHolder<'_>, peer: IpAddr) -> Demand {
    let of = |pod: &Arc<HeldPod>| demand_of(world, pod);
    match holder {
        _ if everywhere == TokenRequirement::Required => Demand::Required,
        AddressHolder::Nobody => Demand::None,
        AddressHolder::Pod(pod) => of(pod),
        AddressHolder::Several(_) => world.claimants(peer).map(of).max().unwrap_or(Demand::None),
    }
}
