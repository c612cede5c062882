//! The World and the rules behind one lock, with a notifier for changes.
//!
//! The lock is held for one read or one event, never during a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, KubernetesFailure, Resource};
use crate::logic::cluster::world::{Change, HeldPod, ParsedEvent, PodTokens, Reading, World};
use crate::logic::policy::arn::BaseArn;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::{
    AccountRoles, Evaluation, EvaluationProgress, EvaluationQueue, NextEvaluation, Rules, question, questions,
};
use crate::ports::{Notifier, Time};

/// The shared World, and the operator's rules.
pub struct SharedWorld {
    state: RwLock<WorldState>,
    changed: Arc<dyn Notifier>,
    /// Evaluations of role lists still to be done
    evaluations: Mutex<EvaluationQueue>,
    asked: Arc<dyn Notifier>,
    closed: AtomicBool,
    time: Arc<dyn Time>,
}

#[derive(Default)]
struct WorldState {
    world: World,
    /// `None` until all discovery has finished.
    rules: Option<Arc<Rules>>,
}

/// The result of one slice of evaluating role lists.
#[derive(Debug)]
pub enum Evaluated {
    /// A list was completed, with the resulting change
    List(Change),
    /// The time slice ended first.
    Part,
    /// Nothing to do before this time.
    Rest(Mono),
    Nothing,
    Closed,
}

/// The number of changes so far; taken before a read, it shows whether the read is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldVersion(u64);

impl SharedWorld {
    pub fn new(time: Arc<dyn Time>) -> Self {
        Self {
            state: RwLock::default(),
            changed: time.notifier(),
            evaluations: Mutex::default(),
            asked: time.notifier(),
            closed: AtomicBool::new(false),
            time,
        }
    }

    /// Reads World and rules together.
    pub fn read<T>(&self, read: impl FnOnce(&World, Option<&Rules>) -> T) -> T {
        let state = self.state.read();
        read(&state.world, state.rules.as_deref())
    }

    /// Applies one watch event and wakes waiters; before the first lists are complete, only their ends wake them.
    /// Annotations are parsed before the lock is taken.
    pub fn apply(&self, resource: Resource, event: Event) -> Change {
        let (begins, ends) = (event == Event::Init, event == Event::InitDone);
        let rules = self.state.read().rules.clone();
        let mut parsed = ParsedEvent::new(event, rules.as_deref().map_or(NO_READING, Rules::reading));
        if ends && resource == Resource::Pods {
            // Each resource has one thread that applies its events: nothing is listed in between.
            parsed = parsed.with_unlisted(self.state.read().world.unlisted_pods());
        }
        let (change, is_ready) = {
            let mut state = self.state.write();
            (state.world.apply(resource, parsed), state.world.is_ready())
        };
        self.queue_evaluations(&change);
        if ends || is_ready && !begins {
            self.changed.notify();
        }
        change
    }

    /// Queues the evaluations that a change requires.
    fn queue_evaluations(&self, change: &Change) {
        let questions = self.read(|world, rules| rules.map(|rules| questions(world, rules, change)));
        let questions = questions.unwrap_or_default();
        if questions.is_empty() {
            return;
        }
        {
            let mut evaluations = self.evaluations.lock();
            questions.into_iter().for_each(|question| evaluations.ask(question));
        }
        self.asked.notify();
    }

    /// Queues the evaluation that a decision about `pod` lacks; its result may have been dropped.
    pub fn ask_for(&self, pod: &HeldPod) {
        if let Some(question) = self.read(|world, rules| question(world, rules?, pod)) {
            self.evaluations.lock().ask_first(question);
            self.asked.notify();
        }
    }

    /// Runs one slice of evaluating role lists; no lock is held meanwhile.
    pub fn evaluate(&self) -> Evaluated {
        if self.closed.load(Ordering::Relaxed) {
            return Evaluated::Closed;
        }
        let Some(rules) = self.state.read().rules.clone() else { return Evaluated::Nothing };
        let next = self.evaluations.lock().next(self.time.now().mono, &rules.base);
        match next {
            NextEvaluation::Evaluate(evaluation) => self.run_slice(*evaluation, &rules.base),
            NextEvaluation::Rest(until) => Evaluated::Rest(until),
            NextEvaluation::Nothing => Evaluated::Nothing,
        }
    }

    /// A namespace rests in proportion to the CPU time that its list has used: on a busy machine, elapsed time would
    /// postpone all namespaces for seconds.
    fn run_slice(&self, mut evaluation: Evaluation, base: &BaseArn) -> Evaluated {
        let began = self.time.cpu_time();
        let (progress, spent) = loop {
            let progress = evaluation.step(base);
            let spent = self.time.cpu_time().saturating_sub(began);
            if progress == EvaluationProgress::Done || spent >= SLICE {
                break (progress, spent);
            }
        };
        let now = self.time.now().mono;
        if progress == EvaluationProgress::More {
            self.evaluations.lock().put_back(evaluation, spent, now);
            return Evaluated::Part;
        }
        let results = evaluation.into_results();
        let (namespace, serial) = (results.namespace.clone(), results.serial);
        let change = self.state.write().world.record(results);
        self.evaluations.lock().finish(&namespace, serial, spent, now);
        self.changed.notify();
        Evaluated::List(change)
    }

    /// The number of queued evaluations so far; see [`SharedWorld::wait_for_questions`].
    pub fn asked(&self) -> u64 {
        self.asked.generation()
    }

    /// Waits until an evaluation has been queued since `asked` was taken, or until `deadline`.
    pub fn wait_for_questions(&self, asked: u64, deadline: Mono) {
        self.asked.wait(asked, deadline);
    }

    /// Ends the evaluation of role lists.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.asked.notify();
    }

    /// Sets the rules. Namespaces' role lists are parsed by them from then on.
    pub fn set_rules(&self, rules: Rules) {
        {
            let mut state = self.state.write();
            if rules.account_roles == AccountRoles::Read {
                state.world.require_accounts();
            }
            if rules.pod_tokens == PodTokens::Accepted {
                state.world.accept_pod_tokens();
            }
            state.rules = Some(Arc::new(rules));
        }
        self.changed.notify();
    }

    /// Changes the rules, if they have been set.
    pub fn amend_rules(&self, amend: impl FnOnce(&mut Rules)) {
        if let Some(rules) = &mut self.state.write().rules {
            amend(Arc::make_mut(rules));
        }
        self.changed.notify();
    }

    /// Records that a resource's state is current.
    pub fn confirm(&self, resource: Resource, now: Mono) {
        self.state.write().world.confirm(resource, now);
    }

    /// Records that the API server serves a resource; returns whether it failed before.
    pub fn clear_failure(&self, resource: Resource) -> bool {
        let had_failed = self.read(|world, _| world.failing(resource).is_some());
        if had_failed {
            self.state.write().world.clear_failure(resource);
        }
        had_failed
    }

    /// Limits the age of the state on which credentials may be given; `None` for no limit.
    pub fn limit_age(&self, longest: Option<Duration>) {
        self.state.write().world.limit_age(longest);
    }

    /// Records that the API server gave no usable response.
    pub fn record_failure(&self, resource: Resource, failure: &KubernetesFailure, now: Mono) {
        self.state.write().world.record_failure(resource, failure, now);
    }

    pub fn seen(&self) -> WorldVersion {
        WorldVersion(self.changed.generation())
    }

    /// Waits until something has changed since `seen`, or until `deadline`.
    pub fn wait(&self, seen: WorldVersion, deadline: Mono) {
        if self.time.now().mono < deadline {
            self.changed.wait(seen.0, deadline);
        }
    }
}

/// Used before the rules are set; watches start only afterwards.
const NO_READING: Reading<'static> =
    Reading { base: &BaseArn::NONE, format: Format::Glob, pod_tokens: PodTokens::Ignored };
/// Time slice for one namespace's list; a single match may exceed it.
const SLICE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
