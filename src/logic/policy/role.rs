//! Which role a pod is to have: its own annotation, else its ServiceAccount's, else its namespace's default, else the
//! operator's. What isn't known yet is waited for, so that nobody gets a role from further up that they shouldn't.

use super::{Denial, Rules};
use crate::logic::arn::RoleArn;
use crate::logic::reason::Reason;
use crate::logic::world::{HeldPod, World};

/// Whether pods that name no role get their ServiceAccount's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRoles {
    Ignored,
    Read,
}

pub(super) fn role_of(world: &World, rules: &Rules, pod: &HeldPod) -> Result<RoleArn, Denial> {
    let full = |name: &str| rules.base.role(name).map_err(|_| Denial::Refused(Reason::RoleMalformed));
    if let Some(name) = pod.role.as_deref() {
        // An empty annotation is a pod's way to have none.
        return if name.is_empty() { Err(Denial::Refused(Reason::NoRole)) } else { full(name) };
    }
    if let Some(name) = account_role(world, rules, pod)? {
        return full(name);
    }
    let namespace = world.namespace(&pod.namespace).ok_or(Denial::NotYet(Reason::UnknownNamespace))?;
    if let Some(name) = namespace.default_role.as_deref() {
        return full(name);
    }
    rules.default_role.as_ref().map(|default| default.role.clone()).ok_or(Denial::Refused(Reason::NoRole))
}

fn account_role<'w>(world: &'w World, rules: &Rules, pod: &HeldPod) -> Result<Option<&'w str>, Denial> {
    if rules.account_roles == AccountRoles::Ignored || pod.service_account.is_empty() {
        return Ok(None);
    }
    world.account_role(&pod.namespace, &pod.service_account).ok_or(Denial::NotYet(Reason::UnknownServiceAccount))
}
