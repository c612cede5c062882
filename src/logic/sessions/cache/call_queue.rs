//! The calls to STS that are to be made and those under way: who comes next, and how many go at a time.

use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;
use crate::logic::base::time::Mono;
use crate::logic::sessions::budget::{Bucket, Rate};
use crate::logic::sts::{AssumeRole, StsFailure};

/// Why a call is made, in the order in which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallPurpose {
    /// Somebody waits for it.
    Request,
    Renewal,
    Prefetch,
}

impl CallPurpose {
    /// The word for log and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Renewal => "renewal",
            Self::Prefetch => "prefetch",
        }
    }
}

/// What a call to STS came to, for the log and the metrics.
#[derive(Debug)]
pub struct CallReport<'a> {
    pub request: &'a AssumeRole,
    pub purpose: CallPurpose,
    /// How long it waited for its turn
    pub queued: Duration,
    pub took: Duration,
    pub failure: Option<&'a StsFailure>,
}

#[derive(Debug)]
pub(super) struct CallQueue {
    /// By [`CallPurpose`]
    queues: [Queue; 3],
    under_way: Vec<(Arc<AssumeRole>, CallPurpose)>,
    /// The pace of calls that nobody waits for
    pace: Rate,
    budget: Bucket,
}

impl CallQueue {
    pub(super) fn new(pace: Rate, now: Mono) -> Self {
        Self {
            queues: Default::default(),
            under_way: Vec::with_capacity(MOST_CALLS),
            pace,
            budget: Bucket::full(pace, now),
        }
    }

    /// Calls that nobody waits for that may be made at once, of how many.
    pub(super) fn budget(&self, now: Mono) -> (f64, f64) {
        (self.budget.left(self.pace, now), self.pace.burst)
    }

    pub(super) fn push(&mut self, key: Arc<AssumeRole>, purpose: CallPurpose) {
        self.queues[purpose as usize].push(key);
    }

    pub(super) fn remove(&mut self, key: &AssumeRole, purpose: CallPurpose) {
        self.queues[purpose as usize].remove(key);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Arc<AssumeRole>) -> bool) {
        self.queues.iter_mut().for_each(|queue| queue.retain(&mut keep));
    }

    /// The most urgent call that may be made now. It is under way until it is [`CallQueue::done`].
    pub(super) fn next(&mut self, now: Mono) -> Option<(Arc<AssumeRole>, CallPurpose)> {
        if self.is_full() {
            return None;
        }
        let [requests, renewals, prefetches] = &mut self.queues;
        let next = if let Some(key) = requests.pop() {
            (key, CallPurpose::Request)
        } else {
            let (queue, purpose) = if renewals.is_empty() {
                (prefetches, CallPurpose::Prefetch)
            } else {
                (renewals, CallPurpose::Renewal)
            };
            if queue.is_empty() || unasked(&self.under_way) >= MOST_UNASKED || !self.budget.take(self.pace, now) {
                return None;
            }
            (queue.pop()?, purpose)
        };
        self.under_way.push(next.clone());
        Some(next)
    }

    pub(super) fn done(&mut self, key: &AssumeRole) {
        self.under_way.retain(|(other, _)| **other != *key);
    }

    /// From when on a queued call may be made, if nothing is done or asked before; `None`: not before that.
    pub(super) fn ready_at(&mut self, now: Mono) -> Option<Mono> {
        let held_back = self.is_full() || unasked(&self.under_way) >= MOST_UNASKED;
        (!held_back && self.has_queued()).then(|| self.budget.ready_at(self.pace, now))
    }

    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= MOST_CALLS
    }

    fn has_queued(&self) -> bool {
        !self.queues.iter().all(Queue::is_empty)
    }

    pub(super) fn queued(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

fn unasked(under_way: &[(Arc<AssumeRole>, CallPurpose)]) -> usize {
    under_way.iter().filter(|(_, purpose)| *purpose != CallPurpose::Request).count()
}

/// Calls to STS at a time.
pub const MOST_CALLS: usize = 8;
/// Of these, calls that nobody waits for: should they all hang, somebody's first request still finds a place.
const MOST_UNASKED: usize = 6;
