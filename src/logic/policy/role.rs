//! Which role a pod has: from its own annotation, else its ServiceAccount's, else its namespace's default, else the
//! operator's. A ServiceAccount or namespace that isn't known yet is waited for if it may name a role.

use super::{Denial, Rules};
use crate::logic::cluster::world::{HeldNamespace, HeldPod, Needed, World};
use crate::logic::policy::arn::{NamedRole, RoleArn};
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::Step;

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
    let named = pod.role();
    trace(Step::Annotation(named.map(NamedRole::written).as_deref()));
    match named {
        // An empty annotation opts a pod out of any role.
        Some(NamedRole::Empty) => return Err(Denial::Refused(Reason::NoRole)),
        Some(named) => return role_or_denial(named, trace),
        None => {}
    }
    if let Some(named) = account_role(world, rules, pod, trace)? {
        return role_or_denial(named, trace);
    }
    match world.namespace(&pod.namespace) {
        None if namespaces_give_roles(world) => {
            trace(Step::NamespaceUnknown);
            return Err(Denial::NotYet(Reason::UnknownNamespace));
        }
        Some(HeldNamespace { default_role: Some(named), .. }) => {
            trace(Step::NamespaceRole(&named.written()));
            return role_or_denial(named, trace);
        }
        _ => {}
    }
    let default = rules.default_role.as_ref().map(|default| &default.role);
    trace(Step::Default(default));
    default.cloned().ok_or(Denial::Refused(Reason::NoRole))
}

/// Whether credentials depend on namespaces: their lists restrict roles, or one of them has a default role.
pub fn needs_namespaces(world: &World, rules: &Rules) -> Needed {
    if rules.restrictions.is_some() || namespaces_give_roles(world) { Needed::Yes } else { Needed::No }
}

/// Whether a namespace that isn't known yet may have a default role. If no namespace has one, as with kube2iam, a pod
/// doesn't wait for its namespace.
fn namespaces_give_roles(world: &World) -> bool {
    world.namespaces().any(|(_, namespace)| namespace.default_role.is_some())
}

fn role_or_denial(named: &NamedRole, trace: &mut impl FnMut(Step<'_>)) -> Result<RoleArn, Denial> {
    named.role().cloned().ok_or_else(|| {
        trace(Step::Malformed(&named.written()));
        Denial::Refused(Reason::RoleMalformed)
    })
}

fn account_role<'w>(
    world: &'w World,
    rules: &Rules,
    pod: &HeldPod,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<Option<&'w NamedRole>, Denial> {
    if rules.account_roles == AccountRoles::Ignored || pod.service_account.is_empty() {
        return Ok(None);
    }
    let Some(named) = world.account_role(&pod.namespace, &pod.service_account) else {
        trace(Step::AccountUnknown(&pod.service_account));
        return Err(Denial::NotYet(Reason::UnknownServiceAccount));
    };
    trace(Step::AccountRole(&pod.service_account, named.map(NamedRole::written).as_deref()));
    Ok(named)
}
