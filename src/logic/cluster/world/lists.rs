//! A namespace's list in the World, with what it was found to say of roles. Nothing is evaluated here.

use std::sync::Arc;

use crate::logic::base::maps::FastMap;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::pattern::{FirstMatch, RoleList};

/// A list, and what is known of it by now.
#[derive(Debug)]
pub struct HeldList {
    list: Arc<RoleList>,
    /// Another for each list there ever was: results for an earlier one aren't taken for this one's.
    serial: u64,
    matches: FastMap<RoleArn, FirstMatch>,
    /// Matches are kept up to this many before it is looked whether pods still need them.
    room: usize,
    /// What is doubtful about the entries; `None` until that has been looked at
    findings: Option<Box<[Box<str>]>>,
}

/// What the evaluation of a list found out.
#[derive(Debug)]
pub struct ListResults {
    pub namespace: Arc<str>,
    pub serial: u64,
    pub matches: Vec<(RoleArn, FirstMatch)>,
    /// `None`: the entries weren't looked at by themselves
    pub findings: Option<Vec<Box<str>>>,
}

impl HeldList {
    pub(super) fn new(list: RoleList, serial: u64) -> Self {
        Self { list: Arc::new(list), serial, matches: FastMap::default(), room: LEAST_ROOM, findings: None }
    }

    pub fn list(&self) -> &Arc<RoleList> {
        &self.list
    }

    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// What the list says of `role`; `None`: that isn't found out yet.
    pub fn first_match(&self, role: &RoleArn) -> Option<FirstMatch> {
        if self.list.is_empty() {
            return Some(None);
        }
        self.matches.get(role).copied()
    }

    pub fn findings(&self) -> Option<&[Box<str>]> {
        self.findings.as_deref()
    }

    /// Takes up what was found out. `pods` counts the pods of the namespace: matches that they can't all need are
    /// forgotten, and found out again where one does.
    pub(super) fn record(&mut self, results: ListResults, pods: impl Fn() -> usize) {
        if let Some(findings) = results.findings {
            self.findings = Some(findings.into());
        }
        for (role, first_match) in results.matches {
            if self.matches.len() >= self.room {
                self.room = (2 * pods()).max(LEAST_ROOM);
                if self.matches.len() >= self.room {
                    self.matches.clear();
                    self.matches.shrink_to_fit();
                }
            }
            self.matches.insert(role, first_match);
        }
    }
}

const LEAST_ROOM: usize = 16;

#[cfg(test)]
mod tests;
