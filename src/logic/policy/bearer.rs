//! Session tokens in the policy: whether a request's token belongs to the requesting pod, and whether one is
//! required.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Ask, Denial, Patience, TokenRequirement};
use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::{AddressHolder, HeldPod, World};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::policy::reason::Reason;

/// The remaining lifetime of the request's token. A pod's token may have been issued for another of its addresses
/// before the pod was known; while several pods claim the address, a token of any of them is accepted.
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

/// Whether requests of `pod` must carry a session token, as far as is known.
pub fn is_token_required(world: &World, everywhere: TokenRequirement, pod: Option<&Arc<HeldPod>>) -> bool {
    everywhere == TokenRequirement::Required || pod.is_some_and(|pod| demand_of(world, pod) == Demand::Required)
}

/// Whether a request without a token is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    None,
    /// The pod's namespace isn't known and may be one that requires tokens: nothing that is specific to the pod is
    /// served.
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

/// What a request without a valid token still needs, or why it can't go on.
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

/// A pod's token can't be checked before the pod is known, so it is refused only once the pod would be known.
fn unchecked(world: &World, patience: Patience) -> Denial {
    match patience {
        Patience::Left => Denial::NotYet(Reason::UnknownPod),
        Patience::Exhausted if !world.is_ready() => Denial::Refused(Reason::NotReady),
        Patience::Exhausted if world.is_failing(Resource::Pods) => Denial::Refused(Reason::WatchBroken),
        Patience::Exhausted => Denial::Refused(Reason::TokenInvalid),
    }
}

/// If several pods claim the address, the strictest requirement applies.
fn token_demand(world: &World, everywhere: TokenRequirement, holder: &AddressHolder<'_>, peer: IpAddr) -> Demand {
    let of = |pod: &Arc<HeldPod>| demand_of(world, pod);
    match holder {
        _ if everywhere == TokenRequirement::Required => Demand::Required,
        AddressHolder::Nobody => Demand::None,
        AddressHolder::Pod(pod) => of(pod),
        AddressHolder::Several(_) => world.claimants(peer).map(of).max().unwrap_or(Demand::None),
    }
}
