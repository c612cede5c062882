//! Which role a pod is to have: its own annotation, else its ServiceAccount's, else its namespace's default, else the
//! operator's. An account that isn't known yet is waited for.

use super::{Denial, Rules};
use crate::logic::arn::RoleArn;
use crate::logic::reason::Reason;
use crate::logic::trace::Step;
use crate::logic::world::{HeldPod, World};

/// Whether pods that name no role get their ServiceAccount's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRoles {
    Ignored,
    Read,
}

pub(super) fn role_of(
    world: &World,
    rules: &Rules,
    pod: &HeldPod,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<RoleArn, Denial> {
    trace(Step::Annotation(pod.role.as_deref()));
    if let Some(name) = pod.role.as_deref() {
        // An empty annotation is a pod's way to have none.
        return if name.is_empty() { Err(Denial::Refused(Reason::NoRole)) } else { full(rules, name, trace) };
    }
    if let Some(name) = account_role(world, rules, pod, trace)? {
        return full(rules, name, trace);
    }
    let namespace = world.namespace(&pod.namespace);
    if let Some(name) = namespace.and_then(|namespace| namespace.default_role.as_deref()) {
        trace(Step::NamespaceRole(name));
        return full(rules, name, trace);
    }
    let default = rules.default_role.as_ref().map(|default| &default.role);
    trace(Step::Default(default));
    default.cloned().ok_or(Denial::Refused(Reason::NoRole))
}

fn full(rules: &Rules, name: &str, trace: &mut impl FnMut(Step<'_>)) -> Result<RoleArn, Denial> {
    rules.base.role(name).map_err(|_| {
        trace(Step::Malformed(name));
        Denial::Refused(Reason::RoleMalformed)
    })
}

fn account_role<'w>(
    world: &'w World,
    rules: &Rules,
    pod: &HeldPod,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<Option<&'w str>, Denial> {
    if rules.account_roles == AccountRoles::Ignored || pod.service_account.is_empty() {
        return Ok(None);
    }
    let Some(named) = world.account_role(&pod.namespace, &pod.service_account) else {
        trace(Step::AccountUnknown(&pod.service_account));
        return Err(Denial::NotYet(Reason::UnknownServiceAccount));
    };
    trace(Step::AccountRole(&pod.service_account, named));
    Ok(named)
}
