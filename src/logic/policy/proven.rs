//! Decisions for requests whose token proves the pod (container credentials). The token has already been verified;
//! what remains to check is whether the pod it names still exists and whether the request's source address fits that
//! pod. After that the decision is the same as for a pod known by its address.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Decided, Decision, Denial, Patience, Rules, current, permit_traced};
use crate::logic::base::time::Mono;
use crate::logic::cluster::world::{AddressHolder, HeldPod, World};
use crate::logic::identity::projected_token::ProvenPod;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::{Step, no_trace};
use crate::logic::request::route::DocumentForm;

/// A request with a verified token.
#[derive(Clone, Copy, Debug)]
pub struct ProvenAsk<'a> {
    pub proven: &'a ProvenPod,
    pub peer: IpAddr,
    /// `--node`
    pub node: Option<&'a str>,
    pub patience: Patience,
    /// The time of the request, to judge the age of the World
    pub at: Mono,
}

/// Decides one request.
pub fn decide_proven(world: &World, rules: Option<&Rules>, ask: ProvenAsk<'_>) -> Decided<'static> {
    decide_proven_traced(world, rules, ask, &mut no_trace)
}

/// [`decide_proven`], reporting every step to `trace`.
pub fn decide_proven_traced(
    world: &World,
    rules: Option<&Rules>,
    ask: ProvenAsk<'_>,
    trace: &mut impl FnMut(Step<'_>),
) -> Decided<'static> {
    let pod = world.pod(&ask.proven.uid).filter(|pod| is_named(pod, ask.proven));
    let (mut audited, mut is_own) = (None, false);
    let outcome = identify(world, pod, &ask).and_then(|pod| {
        let rules = current(world, rules, ask.at, trace)?;
        let permitted = permit_traced(world, rules, pod, ask.patience, trace)?;
        is_own = rules.may_be_own(&permitted.request.role);
        audited = permitted.audited;
        Ok(permitted)
    });
    let decision = match outcome {
        Ok(_) if is_own => Denial::NotYet(Reason::NotReady).after(ask.patience),
        Ok(permitted) => Decision::Assume(permitted, DocumentForm::Container),
        Err(denial) => match denial.after(ask.patience).while_broken(world) {
            Decision::Refuse(Reason::UnknownPod) => Decision::Refuse(unknown(world, rules)),
            decision => decision,
        },
    };
    Decided { decision, pod: pod.cloned(), token_left: None, audited }
}

/// The pod that the token names, if the request may come from it.
fn identify<'w>(world: &World, pod: Option<&'w Arc<HeldPod>>, ask: &ProvenAsk<'_>) -> Result<&'w Arc<HeldPod>, Denial> {
    let here = |node: &str| ask.proven.node.as_deref().is_none_or(|claimed| claimed == node);
    if !ask.node.is_none_or(here) {
        return Err(Denial::Refused(Reason::TokenOtherNode));
    }
    let Some(pod) = pod else {
        let is_another = world.pod(&ask.proven.uid).is_some();
        return Err(if is_another {
            Denial::Refused(Reason::TokenPodMismatch)
        } else {
            Denial::NotYet(Reason::UnknownPod)
        });
    };
    if pod.finished {
        return Err(Denial::Refused(Reason::TokenPodMismatch));
    }
    let is_holder = match world.holder(ask.peer) {
        AddressHolder::Nobody => true,
        AddressHolder::Pod(holder) => holder.uid == pod.uid,
        AddressHolder::Several(_) => world.claimants(ask.peer).any(|claimant| claimant.uid == pod.uid),
    };
    match is_holder {
        true => Ok(pod),
        // The address may be the pod's new one, not yet in the World.
        false if pod.addresses.is_empty() => Err(Denial::NotYet(Reason::TokenOtherPod)),
        false => Err(Denial::Refused(Reason::TokenOtherPod)),
    }
}

/// Whether the token's other claims match the pod with the token's UID.
fn is_named(pod: &HeldPod, proven: &ProvenPod) -> bool {
    (&*pod.namespace, &*pod.name, &*pod.service_account)
        == (&*proven.namespace, &*proven.name, &*proven.service_account)
}

/// An unknown pod may still exist until all lists are complete.
fn unknown(world: &World, rules: Option<&Rules>) -> Reason {
    if rules.is_some() && world.is_ready() { Reason::TokenPodMismatch } else { Reason::NotReady }
}

#[cfg(test)]
mod tests;
