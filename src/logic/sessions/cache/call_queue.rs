//! Queued calls to STS and those in flight: their order and concurrency.

use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;
use crate::logic::base::time::Mono;
use crate::logic::sessions::budget::{Bucket, Rate};
use crate::logic::sts::{AssumeRole, StsFailure};

/// Why a call is made. Calls are made in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallPurpose {
    /// A request waits for it.
    Request,
    Renewal,
    Prefetch,
}

impl CallPurpose {
    /// The value for log and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Renewal => "renewal",
            Self::Prefetch => "prefetch",
        }
    }
}

/// The outcome of a call to STS, for the log and the metrics.
#[derive(Debug)]
pub struct CallReport<'a> {
    pub request: &'a AssumeRole,
    pub purpose: CallPurpose,
    /// How long the call was queued
    pub queued: Duration,
    pub took: Duration,
    pub failure: Option<&'a StsFailure>,
}

#[derive(Debug)]
pub(super) struct CallQueue {
    /// Indexed by [`CallPurpose`]
    queues: [Queue; 3],
    under_way: Vec<(Arc<AssumeRole>, CallPurpose)>,
    /// The rate limit of background calls
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

    /// The background calls that may be made at once, and their maximum.
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

    /// The most urgent call that may be made now. It counts as in flight until [`CallQueue::done`].
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
            if queue.is_empty() || background(&self.under_way) >= MOST_BACKGROUND || !self.budget.take(self.pace, now) {
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

    /// When a queued call may be made if nothing else happens; `None`: not before another call finishes.
    pub(super) fn ready_at(&mut self, now: Mono) -> Option<Mono> {
        let is_blocked = self.is_full() || background(&self.under_way) >= MOST_BACKGROUND;
        (!is_blocked && self.has_queued()).then(|| self.budget.ready_at(self.pace, now))
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

fn background(under_way: &[(Arc<AssumeRole>, CallPurpose)]) -> usize {
    under_way.iter().filter(|(_, purpose)| *purpose != CallPurpose::Request).count()
}

/// Limit of concurrent calls to STS.
pub const MOST_CALLS: usize = 8;
/// Limit of concurrent background calls: even if all of them hang, a request finds a free slot.
const MOST_BACKGROUND: usize = 6;
