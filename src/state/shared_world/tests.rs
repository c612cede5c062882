//! Waiting, waking, and evaluating role lists.

use super::*;
use crate::logic::base::time::{Now, Wall};
use crate::logic::cluster::kubernetes::{Object, Pod};
use crate::logic::cluster::world::AddressHolder;
use crate::logic::cluster::world::tests::{namespace, pod};
use crate::logic::policy::tests::rules;
use crate::os::clock::SystemClock;
use crate::os::threads;
use crate::ports::Clock;
use std::sync::atomic::AtomicU64;

#[test]
fn event_wakes_waiters() {
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
fn wait_ends_at_the_deadline_or_at_once_if_the_read_is_stale() {
    let clock = Arc::new(SystemClock::new());
    let world = SharedWorld::new(clock.clone());
    let stale = world.seen();
    world.apply(Resource::Pods, Event::InitDone);
    world.wait(stale, Mono::from_micros(u64::MAX));
    world.wait(world.seen(), clock.now().mono);
}

#[test]
fn only_relevant_events_notify() {
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

/// A clock that advances by a second on each read, for a thread that gets no CPU time.
struct BusyMachine(AtomicU64);

impl Clock for BusyMachine {
    fn now(&self) -> Now {
        let seconds = self.0.fetch_add(1, Ordering::SeqCst);
        Now { mono: Mono::from_millis(seconds * 1_000), wall: Wall::from_unix_seconds(1_800_000_000) }
    }
}

impl Time for BusyMachine {
    fn notifier(&self) -> Arc<dyn Notifier> {
        SystemClock::new().notifier()
    }

    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn list_does_not_rest_for_cpu_time_of_other_threads() {
    let world = SharedWorld::new(Arc::new(BusyMachine(AtomicU64::new(0))));
    world.set_rules(Rules { restrictions: Some(Format::Regexp), ..rules() });
    world.apply(Resource::Namespaces, Event::InitApply(Object::Namespace(namespace("shop", Some(r#"["a", "b.*"]"#)))));
    world.apply(Resource::Namespaces, Event::InitDone);
    world.apply(Resource::Pods, Event::InitDone);
    for (uid, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
        let pod = Pod { role: Some(uid.into()), ..pod(uid, address) };
        world.apply(Resource::Pods, Event::Apply(Object::Pod(pod)));
        let done: Vec<Evaluated> =
            (0..10).map(|_| world.evaluate()).take_while(|did| !matches!(did, Evaluated::Nothing)).collect();
        assert!(done.iter().any(|did| matches!(did, Evaluated::List(_))), "{uid}: {done:?}");
        assert!(!done.iter().any(|did| matches!(did, Evaluated::Rest(_))), "{uid}: {done:?}");
    }
}

#[test]
fn what_a_list_does_not_contain_is_forgotten_at_its_end() {
    let world = SharedWorld::new(Arc::new(SystemClock::new()));
    let item = |uid: &str| Event::InitApply(Object::Pod(pod(uid, "10.0.0.1")));
    for events in [
        vec![Event::Init, item("a"), item("b"), Event::InitDone],
        vec![Event::Init, item("b"), Event::Apply(Object::Pod(pod("c", "10.0.0.2"))), Event::InitDone],
    ] {
        events.into_iter().for_each(|event| drop(world.apply(Resource::Pods, event)));
    }
    let held = |uid: &str| world.read(|world, _| world.pod(uid).is_some());
    assert_eq!(["a", "b", "c"].map(held), [false, true, true]);
}
