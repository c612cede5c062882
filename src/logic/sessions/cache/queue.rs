//! A queue of calls that is fair among roles: roles take turns, however many sessions one of them needs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::logic::policy::arn::RoleArn;
use crate::logic::sts::AssumeRole;

/// Keys by role; each role is queued once. The caller must not add a key twice.
#[derive(Debug, Default)]
pub(super) struct Queue {
    roles: VecDeque<RoleArn>,
    keys: HashMap<RoleArn, VecDeque<Arc<AssumeRole>>>,
}

impl Queue {
    pub(super) fn push(&mut self, key: Arc<AssumeRole>) {
        let of_role = self.keys.entry(key.role.clone()).or_default();
        if of_role.is_empty() {
            self.roles.push_back(key.role.clone());
        }
        of_role.push_back(key);
    }

    /// The oldest key of the next role; a role with more keys moves to the end.
    pub(super) fn pop(&mut self) -> Option<Arc<AssumeRole>> {
        let role = self.roles.pop_front()?;
        let of_role = self.keys.get_mut(&role)?;
        let key = of_role.pop_front();
        if of_role.is_empty() {
            self.keys.remove(&role);
        } else {
            self.roles.push_back(role);
        }
        key
    }

    pub(super) fn remove(&mut self, key: &AssumeRole) {
        let Some(of_role) = self.keys.get_mut(&key.role) else { return };
        of_role.retain(|queued| **queued != *key);
        if of_role.is_empty() {
            self.keys.remove(&key.role);
            self.roles.retain(|role| *role != key.role);
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Arc<AssumeRole>) -> bool) {
        self.keys.values_mut().for_each(|of_role| of_role.retain(&mut keep));
        self.keys.retain(|_, of_role| !of_role.is_empty());
        let keys = &self.keys;
        self.roles.retain(|role| keys.contains_key(role));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests;
