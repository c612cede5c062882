//! The most recent failed calls to STS with their times, until the same call succeeds. The cache forgets a refusal
//! within seconds so that the next request retries; operators look for the cause minutes later.

use std::collections::VecDeque;

use crate::logic::base::time::Wall;
use crate::logic::sts::{AssumeRole, StsFailure};

/// The last failure of each call, newest last.
#[derive(Debug, Default)]
pub struct RecentFailures(VecDeque<(AssumeRole, StsFailure, Wall)>);

impl RecentFailures {
    /// Records the result of a call.
    pub fn record(&mut self, request: &AssumeRole, failure: Option<&StsFailure>, now: Wall) {
        if failure.is_none() && self.0.is_empty() {
            return;
        }
        self.0.retain(|(known, ..)| known != request);
        if let Some(failure) = failure {
            if self.0.len() == MOST_REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((request.clone(), failure.clone(), now));
        }
    }

    /// The last failure of this call and its time, if its last call failed.
    pub fn of(&self, request: &AssumeRole) -> Option<(&StsFailure, Wall)> {
        self.0.iter().find(|(known, ..)| known == request).map(|(_, failure, at)| (failure, *at))
    }
}

/// Failing calls on one node at a time; each takes about a kilobyte.
const MOST_REMEMBERED: usize = 64;

#[cfg(test)]
mod tests;
