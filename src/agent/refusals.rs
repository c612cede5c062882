//! The queue of refusals, from requests to the task that writes Kubernetes Events.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::logic::base::time::Mono;
use crate::logic::operator::events::RefusedPod;
use crate::ports::{Notifier, Time};
use crate::telemetry::RefusalSink;

/// The queue of refusals to be written as Events.
pub(super) struct Refusals {
    waiting: Arc<Mutex<VecDeque<RefusedPod>>>,
    notifier: Arc<dyn Notifier>,
}

impl Refusals {
    pub(super) fn new(time: &dyn Time) -> Self {
        Self { waiting: Arc::default(), notifier: time.notifier() }
    }

    /// Queues refusals. Those beyond the limit are dropped: refusals recur while their cause persists.
    pub(super) fn sink(&self) -> RefusalSink {
        let (waiting, notifier) = (self.waiting.clone(), self.notifier.clone());
        Arc::new(move |refused| {
            let mut waiting = waiting.lock();
            if waiting.len() < MAX_QUEUED {
                waiting.push_back(refused);
                drop(waiting);
                notifier.notify();
            }
        })
    }

    /// Takes the oldest refusal. If there is none, waits for one until `deadline`, then returns `None`.
    pub(super) fn next(&self, deadline: Mono) -> Option<RefusedPod> {
        let generation = self.notifier.generation();
        let next = self.waiting.lock().pop_front();
        if next.is_none() {
            self.notifier.wait(generation, deadline);
        }
        next
    }
}

/// Maximum queued refusals.
const MAX_QUEUED: usize = 256;
