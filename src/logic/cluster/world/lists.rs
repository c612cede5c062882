//! A namespace's list of allowed roles in the World, with the results of its evaluation.

use std::sync::Arc;

use crate::logic::base::maps::FastMap;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::pattern::{FirstMatch, RoleList};

/// A list and its results so far.
#[derive(Debug)]
pub struct HeldList {
    list: Arc<RoleList>,
    /// Unique per list, so that results of an earlier list aren't recorded for this one
    serial: u64,
    matches: FastMap<RoleArn, FirstMatch>,
    /// The number of matches at which to check whether pods still need them
    room: usize,
    /// Doubts about the entries; `None` until they have been inspected
    findings: Option<Box<[Box<str>]>>,
}

/// The results of evaluating a list.
#[derive(Debug)]
pub struct ListResults {
    pub namespace: Arc<str>,
    pub serial: u64,
    pub matches: Vec<(RoleArn, FirstMatch)>,
    /// `None`: the entries weren't inspected
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

    /// The result for `role`; `None`: it hasn't been evaluated yet.
    pub fn first_match(&self, role: &RoleArn) -> Option<FirstMatch> {
        if self.list.is_empty() {
            return Some(None);
        }
        self.matches.get(role).copied()
    }

    pub fn findings(&self) -> Option<&[Box<str>]> {
        self.findings.as_deref()
    }

    /// Records results. `pods` counts the pods of the namespace: if there are more matches than they can need, all
    /// are dropped, and evaluated again on demand.
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
