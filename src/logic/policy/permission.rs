//! Whether a pod may have its role: finds the role, then checks namespaces' lists, allowed accounts and the agent's
//! own roles.

use std::sync::Arc;

use super::role::role_of;
use super::{DefaultObeys, Denial, Enforcement, Patience, Permitted, Rules};
use crate::logic::cluster::world::{HeldPod, World};
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::{ListVerdict, Step, no_trace};
use crate::logic::sts::AssumeRole;

/// Whether `pod` may have its role, as far as is known, and the call that gets the credentials.
pub fn permit(world: &World, rules: &Rules, pod: &Arc<HeldPod>) -> Result<Permitted, Denial> {
    permit_traced(world, rules, pod, Patience::Exhausted, &mut no_trace)
}

/// [`permit`] that waits for unknown objects while patience is left, and reports every step to `trace`.
pub fn permit_traced(
    world: &World,
    rules: &Rules,
    pod: &Arc<HeldPod>,
    patience: Patience,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<Permitted, Denial> {
    let role = role_of(world, rules, pod, trace)?;
    trace(Step::Role(&role));
    let audited = match rules.restrictions {
        None => {
            trace(Step::Unrestricted);
            None
        }
        Some(_) if rules.exempts(&role) => {
            trace(Step::Exempt);
            None
        }
        Some(_) => restrict(rules.enforcement, patience, namespace_allows(world, pod, &role, trace), trace)?,
    };
    if !rules.gives_own(&role) && rules.own_roles.contains(&role) {
        trace(Step::OwnRole);
        return Err(Denial::Refused(Reason::OwnRole));
    }
    if !rules.allowed_accounts.is_empty() {
        let allowed = rules.allowed_accounts.iter().any(|account| account == role.account());
        trace(Step::Account(if allowed { ListVerdict::Allows } else { ListVerdict::DoesNot }));
        allowed.then_some(()).ok_or(Denial::Refused(Reason::AccountNotAllowed))?;
    }
    let request = rules.session.request(&role, pod).map_err(|reason| {
        trace(Step::SessionMalformed(reason));
        Denial::Refused(reason)
    })?;
    trace(Step::Session(&request));
    if rules.session.ignores_name_of(pod) {
        trace(Step::NameIgnored);
    }
    Ok(Permitted { request, pod: pod.clone(), audited })
}

impl Rules {
    /// Whether namespaces' lists don't restrict `role`.
    pub(super) fn exempts(&self, role: &RoleArn) -> bool {
        let default = self.default_role.as_ref().filter(|default| default.role == *role);
        default.is_some_and(|default| default.obeys == DefaultObeys::Nothing)
    }
}

/// The call that a pod may be entitled to, as far as is known. While a list is being evaluated, sessions that it may
/// allow are kept.
pub fn entitled(world: &World, rules: &Rules, pod: &Arc<HeldPod>) -> Option<AssumeRole> {
    match permit(world, rules, pod) {
        Ok(permitted) => Some(permitted.request),
        Err(Denial::NotYet(Reason::PolicyPending)) => {
            let role = role_of(world, rules, pod, &mut no_trace).ok()?;
            rules.session.request(&role, pod).ok()
        }
        Err(_) => None,
    }
}

/// Applies the enforcement mode to a list's verdict: audit mode allows and returns the reason it would have refused
/// with.
fn restrict(
    enforcement: Enforcement,
    patience: Patience,
    judged: Result<(), Denial>,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<Option<Reason>, Denial> {
    match (enforcement, judged) {
        (_, Ok(())) => Ok(None),
        (Enforcement::Enforce, Err(denial)) => Err(denial),
        // A pending evaluation is no violation.
        (Enforcement::Audit, Err(denial @ Denial::NotYet(_))) if patience == Patience::Left => Err(denial),
        (Enforcement::Audit, Err(Denial::Refused(reason) | Denial::NotYet(reason))) => {
            trace(Step::LetPass);
            Ok(Some(reason))
        }
    }
}

fn namespace_allows(
    world: &World,
    pod: &HeldPod,
    role: &RoleArn,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<(), Denial> {
    let Some(namespace) = world.namespace(&pod.namespace) else {
        trace(Step::NamespaceUnknown);
        return Err(Denial::NotYet(Reason::UnknownNamespace));
    };
    let Some(held) = &namespace.allowed_roles else {
        trace(Step::NoList);
        return Err(Denial::Refused(Reason::RoleNotAllowed));
    };
    let Some(first_match) = held.first_match(role) else {
        trace(Step::Unevaluated);
        return Err(Denial::NotYet(Reason::PolicyPending));
    };
    trace(Step::Evaluated(held.list(), first_match));
    first_match.map(|_| ()).ok_or(Denial::Refused(Reason::RoleNotAllowed))
}
