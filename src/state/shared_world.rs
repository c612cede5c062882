//! World and rules behind one lock, and a notifier for their changes.
//!
//! The lock is held for a look or for one event, never while anything waits.

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

/// The shared World, and what the operator laid down.
pub struct SharedWorld {
    state: RwLock<WorldState>,
    changed: Arc<dyn Notifier>,
    /// What lists are still to be asked
    evaluations: Mutex<EvaluationQueue>,
    asked: Arc<dyn Notifier>,
    closed: AtomicBool,
    time: Arc<dyn Time>,
}

#[derive(Default)]
struct WorldState {
    world: World,
    /// `None` until everything that is discovered has been.
    rules: Option<Arc<Rules>>,
}

/// What a turn of the evaluation of lists came to.
#[derive(Debug)]
pub enum Evaluated {
    /// A list was evaluated to its end; what that changed
    List(Change),
    /// The turn ended first.
    Part,
    /// Nothing is to be done before this moment.
    Rest(Mono),
    Nothing,
    Closed,
}

/// The number of changes so far; taken before a look, it shows whether the look is out of date.
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

    /// One look at world and rules together.
    pub fn read<T>(&self, look: impl FnOnce(&World, Option<&Rules>) -> T) -> T {
        let state = self.state.read();
        look(&state.world, state.rules.as_deref())
    }

    /// Applies one event, and wakes those who wait if it may matter to them: before the first lists are complete, only
    /// their ends do. Annotations are parsed before the lock is taken.
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
        self.ask_lists(&change);
        if ends || is_ready && !begins {
            self.changed.notify();
        }
        change
    }

    /// Has found out what a change leaves open.
    fn ask_lists(&self, change: &Change) {
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

    /// Has found out what a decision about `pod` lacks: it may have been forgotten.
    pub fn ask_for(&self, pod: &HeldPod) {
        if let Some(question) = self.read(|world, rules| question(world, rules?, pod)) {
            self.evaluations.lock().ask(question);
            self.asked.notify();
        }
    }

    /// One turn of the evaluation of lists; no lock is held while a list is asked.
    pub fn evaluate(&self) -> Evaluated {
        if self.closed.load(Ordering::Relaxed) {
            return Evaluated::Closed;
        }
        let Some(rules) = self.state.read().rules.clone() else { return Evaluated::Nothing };
        let next = self.evaluations.lock().next(self.time.now().mono, &rules.base);
        match next {
            NextEvaluation::Evaluate(evaluation) => self.take_turn(*evaluation, &rules.base),
            NextEvaluation::Rest(until) => Evaluated::Rest(until),
            NextEvaluation::Nothing => Evaluated::Nothing,
        }
    }

    /// A namespace rests for as long as its list has kept the processor busy: on a machine that others keep busy, the
    /// time that passes would put all of them off for seconds.
    fn take_turn(&self, mut evaluation: Evaluation, base: &BaseArn) -> Evaluated {
        let began = self.time.worked();
        let (progress, spent) = loop {
            let progress = evaluation.step(base);
            let spent = self.time.worked().saturating_sub(began);
            if progress == EvaluationProgress::Done || spent >= TURN {
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

    /// How many questions there had been; see [`SharedWorld::wait_for_questions`].
    pub fn asked(&self) -> u64 {
        self.asked.generation()
    }

    /// Waits until a list is to be asked something that wasn't when `asked` was taken, or until `deadline`.
    pub fn wait_for_questions(&self, asked: u64, deadline: Mono) {
        self.asked.wait(asked, deadline);
    }

    /// Ends the evaluation of lists.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.asked.notify();
    }

    /// Puts the rules in force. Lists of namespaces are read by them from then on.
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

    /// Changes the rules in force, if there are any yet.
    pub fn amend_rules(&self, amend: impl FnOnce(&mut Rules)) {
        if let Some(rules) = &mut self.state.write().rules {
            amend(Arc::make_mut(rules));
        }
        self.changed.notify();
    }

    /// A resource is known as it is now.
    pub fn confirm(&self, resource: Resource, now: Mono) {
        self.state.write().world.confirm(resource, now);
    }

    /// The API server serves a resource. Whether it failed before.
    pub fn clear_failure(&self, resource: Resource) -> bool {
        let had_failed = self.read(|world, _| world.failing(resource).is_some());
        if had_failed {
            self.state.write().world.clear_failure(resource);
        }
        had_failed
    }

    /// Credentials end when what they rest on is older; `None`: never.
    pub fn limit_age(&self, longest: Option<Duration>) {
        self.state.write().world.limit_age(longest);
    }

    /// The API server gave no usable answer.
    pub fn record_failure(&self, resource: Resource, failure: &KubernetesFailure, now: Mono) {
        self.state.write().world.record_failure(resource, failure, now);
    }

    pub fn seen(&self) -> WorldVersion {
        WorldVersion(self.changed.generation())
    }

    /// Waits until something has changed since `seen`; at most until `deadline`.
    pub fn wait(&self, seen: WorldVersion, deadline: Mono) {
        if self.time.now().mono < deadline {
            self.changed.wait(seen.0, deadline);
        }
    }
}

/// Watches begin after the rules are set.
const NO_READING: Reading<'static> =
    Reading { base: &BaseArn::NONE, format: Format::Glob, pod_tokens: PodTokens::Ignored };
/// How long one namespace's list is evaluated before the next one's turn, a single match apart.
const TURN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
