//! World and rules behind one lock, and a bell that rings when they change.
//!
//! The lock is held for a look or for one event, never while anything waits.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::logic::kubernetes::{Event, KubernetesFailure, Object, Resource};
use crate::logic::pattern::{Format, RoleList};
use crate::logic::policy::{AccountRoles, Rules};
use crate::logic::time::Mono;
use crate::logic::world::{Change, World};
use crate::ports::{Bell, Time};

/// The shared World, and what the operator laid down.
pub struct Registry {
    state: RwLock<State>,
    changed: Arc<dyn Bell>,
    time: Arc<dyn Time>,
}

#[derive(Default)]
struct State {
    world: World,
    /// `None` until everything that is discovered has been.
    rules: Option<Arc<Rules>>,
}

/// How many changes there had been; taken before a look, it tells whether the look is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl Registry {
    pub fn new(time: Arc<dyn Time>) -> Self {
        Self { state: RwLock::default(), changed: time.bell(), time }
    }

    /// One look at world and rules together.
    pub fn read<T>(&self, look: impl FnOnce(&World, Option<&Rules>) -> T) -> T {
        let state = self.state.read();
        look(&state.world, state.rules.as_deref())
    }

    /// Applies one event, and wakes waiters if it may matter to them: before the first lists are complete only their
    /// ends do. A namespace's list is read before the lock is taken.
    pub fn apply(&self, resource: Resource, event: Event) -> Change {
        let rules = self.state.read().rules.clone();
        let list = match &event {
            Event::InitApply(Object::Namespace(namespace)) | Event::Apply(Object::Namespace(namespace)) => {
                namespace.allowed_roles.as_deref().map(|list| compile(list, rules.as_deref()))
            }
            _ => None,
        };
        let (begins, ends) = (event == Event::Init, event == Event::InitDone);
        let (change, is_ready) = {
            let mut state = self.state.write();
            let change = state.world.apply(resource, event, |_| list.clone().unwrap_or_default());
            (change, state.world.is_ready())
        };
        if ends || is_ready && !begins {
            self.changed.ring();
        }
        change
    }

    /// Puts the rules in force. Lists of namespaces are read by them from then on.
    pub fn set_rules(&self, rules: Rules) {
        {
            let mut state = self.state.write();
            if rules.account_roles == AccountRoles::Read {
                state.world.require_accounts();
            }
            state.rules = Some(Arc::new(rules));
        }
        self.changed.ring();
    }

    /// Changes the rules in force, if there are any yet.
    pub fn amend_rules(&self, amend: impl FnOnce(&mut Rules)) {
        if let Some(rules) = &mut self.state.write().rules {
            amend(Arc::make_mut(rules));
        }
        self.changed.ring();
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

    pub fn seen(&self) -> Seen {
        Seen(self.changed.rung())
    }

    /// Waits until something has changed since `seen`; at most until `deadline`.
    pub fn wait(&self, seen: Seen, deadline: Mono) {
        if self.time.now().mono < deadline {
            self.changed.wait(seen.0, deadline);
        }
    }
}

/// Without rules there are no restrictions to read a list for yet; watches begin after the rules are set.
fn compile(list: &str, rules: Option<&Rules>) -> RoleList {
    rules.map_or_else(RoleList::default, |rules| {
        RoleList::parse(list, rules.restrictions.unwrap_or(Format::Glob), &rules.base)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::clock::SystemClock;
    use crate::edge::threads;
    use crate::logic::world::Holder;
    use crate::logic::world::tests::pod;
    use crate::ports::Clock;

    #[test]
    fn an_event_wakes_those_who_wait() {
        let clock = Arc::new(SystemClock::new());
        let registry = Arc::new(Registry::new(clock.clone()));
        let peer = "10.0.0.1".parse().unwrap();
        for resource in [Resource::Pods, Resource::Namespaces] {
            registry.apply(resource, Event::InitDone);
        }
        let seen = registry.seen();
        let painter = registry.clone();
        let thread = threads::spawn("painter", threads::STACK_BYTES, move || {
            painter.apply(Resource::Pods, Event::Apply(Object::Pod(pod("a", "10.0.0.1"))));
        });
        let deadline = clock.now().mono.after(Duration::from_secs(10));
        registry.wait(seen, deadline);
        thread.unwrap().join().unwrap();
        assert!(registry.read(|world, _| matches!(world.holder(peer), Holder::Pod(pod) if *pod.uid == *"a")));
        assert!(clock.now().mono < deadline);
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_not_at_all_if_the_look_is_stale() {
        let clock = Arc::new(SystemClock::new());
        let registry = Registry::new(clock.clone());
        let stale = registry.seen();
        registry.apply(Resource::Pods, Event::InitDone);
        registry.wait(stale, Mono::from_micros(u64::MAX));
        registry.wait(registry.seen(), clock.now().mono);
    }

    #[test]
    fn only_what_may_matter_to_somebody_rings() {
        let registry = Registry::new(Arc::new(SystemClock::new()));
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
            let (before, shown) = (registry.seen(), format!("{event:?}"));
            registry.apply(resource, event);
            assert_eq!(registry.seen() != before, rings, "{shown}");
        }
    }
}
