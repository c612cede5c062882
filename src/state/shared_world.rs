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
        let parsed = ParsedEvent::new(event, rules.as_deref().map_or(NO_READING, Rules::reading));
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
        let began = self.time.now().mono;
        let next = self.evaluations.lock().next(began, &rules.base);
        match next {
            NextEvaluation::Evaluate(evaluation) => self.take_turn(*evaluation, &rules.base, began),
            NextEvaluation::Rest(until) => Evaluated::Rest(until),
            NextEvaluation::Nothing => Evaluated::Nothing,
        }
    }

    fn take_turn(&self, mut evaluation: Evaluation, base: &BaseArn, began: Mono) -> Evaluated {
        let (progress, now) = loop {
            let progress = evaluation.step(base);
            let now = self.time.now().mono;
            if progress == EvaluationProgress::Done || now.since(began) >= TURN {
                break (progress, now);
            }
        };
        let spent = now.since(began);
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
mod tests {
    use super::*;
    use crate::logic::cluster::kubernetes::Object;
    use crate::logic::cluster::world::AddressHolder;
    use crate::logic::cluster::world::tests::pod;
    use crate::os::clock::SystemClock;
    use crate::os::threads;
    use crate::ports::Clock;

    #[test]
    fn an_event_wakes_those_who_wait() {
        let clock = Arc::new(SystemClock::new());
        let world = Arc::new(SharedWorld::new(clock.clone()));
        let peer = "10.0.0.1".parse().unwrap();
        for resource in [Resource::Pods, Resource::Namespaces] {
            world.apply(resource, Event::InitDone);
        }
        let seen = world.seen();
        let writer = world.clone();
        let thread = threads::spawn("writer", threads::STACK_BYTES, move || {
            writer.apply(Resource::Pods, Event::Apply(Object::Pod(pod("a", "10.0.0.1"))));
        });
        let deadline = clock.now().mono.after(Duration::from_secs(10));
        world.wait(seen, deadline);
        thread.unwrap().join().unwrap();
        assert!(world.read(|world, _| matches!(world.holder(peer), AddressHolder::Pod(pod) if *pod.uid == *"a")));
        assert!(clock.now().mono < deadline);
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_not_at_all_if_the_look_is_stale() {
        let clock = Arc::new(SystemClock::new());
        let world = SharedWorld::new(clock.clone());
        let stale = world.seen();
        world.apply(Resource::Pods, Event::InitDone);
        world.wait(stale, Mono::from_micros(u64::MAX));
        world.wait(world.seen(), clock.now().mono);
    }

    #[test]
    fn only_what_may_matter_to_somebody_rings() {
        let world = SharedWorld::new(Arc::new(SystemClock::new()));
        let item = |uid: &str| Event::InitApply(Object::Pod(pod(uid, "10.0.0.1")));
        for (resource, event, rings) in [
            (Resource::Pods, Event::Init, false),
            (Resource::Pods, item("a"), false),
            (Resource::Pods, Event::InitDone, true),
            (Resource::Namespaces, Event::Init, false),
            (Resource::Namespaces, Event::InitDone, true),
            (Resource::Pods, Event::Init, false),
            (Resource::Pods, item("b"), true),
        ] {
            let (before, shown) = (world.seen(), format!("{event:?}"));
            world.apply(resource, event);
            assert_eq!(world.seen() != before, rings, "{shown}");
        }
    }
}
