mod any;
mod pauses;

use super::unreadable::MOST_LOGGED;
use super::*;
use crate::logic::cluster::kubernetes::{Namespace, Object, ObjectIdentity, Resource, Unreadable};

const HALF: u64 = 1 << 63;

fn at(millis: u64) -> Mono {
    Mono::from_millis(millis)
}

fn object(name: &str) -> Object {
    let uid = format!("uid of {name}");
    Object::Namespace(Namespace {
        uid,
        name: name.to_owned(),
        allowed_roles: None,
        default_role: None,
        v2_required: false,
    })
}

fn page(version: &str, continuation: Option<&str>) -> Input {
    Input::Page(ListPage { version: version.to_owned(), continuation: continuation.map(str::to_owned) })
}

fn refused(kind: KubernetesFailureKind) -> Input {
    Input::Refused(KubernetesFailure { kind, cause: "no".to_owned() })
}

const UNAVAILABLE: KubernetesFailureKind = KubernetesFailureKind::Unavailable { retry_after_s: None };

fn bookmark(version: &str) -> Input {
    Input::Line(Frame::Bookmark(version.to_owned()))
}

/// An unparsable object, with or without a name.
fn odd(name: Option<&str>) -> Unreadable {
    let identity = ObjectIdentity { name: name.map(str::to_owned), ..ObjectIdentity::default() };
    Unreadable { resource: Resource::Namespaces, why: "not json".to_owned(), identity }
}

fn unreadable() -> Input {
    Input::Line(Frame::Unreadable(odd(None), None))
}

fn forgotten() -> Input {
    Input::Line(Frame::Unreadable(odd(Some("a")), None))
}

fn item(name: &str) -> Input {
    Input::Item(Ok(object(name)))
}

fn gone() -> Input {
    Input::Line(Frame::Gone("too old".to_owned()))
}

fn list(continuation: Option<&str>) -> WatchStep {
    WatchStep::List { continuation: continuation.map(str::to_owned) }
}

fn watch_from(version: &str) -> WatchStep {
    WatchStep::Watch { version: version.to_owned() }
}

fn forget(name: &str) -> Event {
    Event::Forget(odd(Some(name)).identity)
}

/// A World listed at version 5, with an open watch, at time zero.
fn watching() -> Watch {
    let mut watch = Watch::new();
    watch.on(page("5", None), at(0), HALF);
    watch.on(Input::Opened, at(0), HALF);
    watch
}

/// Feeds an input; returns how long the machine then waits, in ms, and its next step.
fn after(watch: &mut Watch, input: Input, now: Mono) -> (u128, WatchStep) {
    watch.on(input, now, HALF);
    match watch.next(now) {
        WatchStep::Rest { until, .. } => (now.until(until).as_millis(), watch.next(until)),
        step => (0, step),
    }
}

#[test]
fn a_paged_list_is_one_init() {
    let mut watch = Watch::new();
    let mut events = Vec::new();
    assert_eq!(watch.next(at(0)), list(None));
    for input in [item("a"), page("5", Some("more")), item("b"), page("5", None)] {
        events.extend(watch.on(input, at(1), HALF).events.into_iter().flatten());
    }
    let expected =
        [Event::Init, Event::InitApply(object("a")), Event::InitApply(object("b")), Event::InitDone].to_vec();
    assert_eq!(events, expected);
    assert_eq!(watch.next(at(1)), watch_from("5"));
}

#[test]
fn an_empty_list_is_reported_too() {
    let reaction = Watch::new().on(page("5", None), at(0), HALF);
    assert_eq!(reaction.events, [Some(Event::Init), Some(Event::InitDone)]);
    assert_eq!(reaction.note, Some(WatchNote::Listed { items: 0, unreadable: 0 }));
}

#[test]
fn an_empty_first_page_starts_the_list() {
    let mut watch = Watch::new();
    assert_eq!(watch.on(page("5", Some("more")), at(0), HALF).events, [Some(Event::Init), None]);
    assert_eq!(watch.next(at(0)), list(Some("more")));
    assert_eq!(watch.on(page("5", None), at(0), HALF).events, [None, Some(Event::InitDone)]);
}

#[test]
fn a_failed_first_page_starts_over() {
    let mut watch = Watch::new();
    watch.on(item("a"), at(0), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(0)), (1_200, list(None)));
    let again = watch.on(item("a"), at(1_200), HALF);
    assert_eq!(again.events[0], Some(Event::Init));
}

#[test]
fn a_later_page_is_retried_once_then_the_list_starts_over() {
    let mut watch = Watch::new();
    watch.on(item("a"), at(0), HALF);
    watch.on(page("5", Some("more")), at(0), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(0)), (1_200, list(Some("more"))));
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(9_000)), (2_400, list(None)));
    assert_eq!(watch.on(page("6", None), at(20_000), HALF).events[0], Some(Event::Init));
}

#[test]
fn an_expired_continue_token_starts_over_at_once() {
    let mut watch = Watch::new();
    watch.on(page("5", Some("more")), at(0), HALF);
    assert_eq!(after(&mut watch, refused(KubernetesFailureKind::Gone), at(0)), (100, list(None)));
}

#[test]
fn frames_become_changes_and_move_the_version() {
    let mut watch = watching();
    for (frame, event, version) in [
        (Frame::Added(object("a"), "6".to_owned()), Some(Event::Apply(object("a"))), "6"),
        (Frame::Modified(object("a"), "7".to_owned()), Some(Event::Apply(object("a"))), "7"),
        (Frame::Deleted(object("a"), "8".to_owned()), Some(Event::Delete(object("a"))), "8"),
        (Frame::Bookmark("9".to_owned()), None, "9"),
        (Frame::Unreadable(odd(Some("a")), None), Some(forget("a")), "9"),
        (Frame::Unreadable(odd(Some("a")), Some("10".to_owned())), Some(forget("a")), "10"),
    ] {
        assert_eq!(watch.on(Input::Line(frame), at(1), HALF).events, [event, None]);
        assert_eq!(watch.version, version);
        assert_eq!(watch.next(at(1)), WatchStep::Read);
    }
}

#[test]
fn the_end_of_a_watch_determines_the_next_step() {
    let no_end = || KubernetesFailure { kind: KubernetesFailureKind::Refused, cause: "no end".to_owned() };
    let broken = || Input::Ended(Some(KubernetesFailure { kind: UNAVAILABLE, cause: "reset".to_owned() }));
    for (what, inputs, expected) in [
        ("clean end", vec![bookmark("6"), Input::Ended(None)], (100, watch_from("6"))),
        ("broken", vec![bookmark("6"), broken()], (100, watch_from("6"))),
        ("no word", vec![Input::Ended(None)], (100, watch_from("5"))),
        ("too old", vec![bookmark("6"), gone()], (100, list(None))),
        ("error object", vec![Input::Line(Frame::Failed("etcd".to_owned()))], (1_200, watch_from("5"))),
        ("an unreadable object", vec![forgotten(), bookmark("6"), Input::Ended(None)], (1_200, list(None))),
        ("a line of any object", vec![bookmark("6"), unreadable()], (100, list(None))),
        ("an endless line", vec![bookmark("6"), Input::Ended(Some(no_end()))], (1_200, list(None))),
    ] {
        let mut watch = watching();
        let last = inputs.into_iter().map(|input| after(&mut watch, input, at(2_000))).last().unwrap();
        assert_eq!(last, expected, "{what}");
    }
}

#[test]
fn consecutive_refusals_back_off_until_any_frame() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    for (kind, rest) in [
        (UNAVAILABLE, 1_200),
        (UNAVAILABLE, 2_400),
        (UNAVAILABLE, 4_800),
        (KubernetesFailureKind::Unauthorized, 1_200),
        (KubernetesFailureKind::Forbidden, 2_400),
        (KubernetesFailureKind::Unavailable { retry_after_s: Some(20) }, 20_400),
    ] {
        assert_eq!(after(&mut watch, refused(kind), at(3_000)), (rest, watch_from("5")));
    }
    watch.on(Input::Opened, at(30_000), HALF);
    watch.on(bookmark("6"), at(30_000), HALF);
    watch.on(Input::Ended(None), at(30_000), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(40_000)), (1_200, watch_from("6")));
}

#[test]
fn a_refused_watch_that_is_too_old_lists_at_once() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    assert_eq!(after(&mut watch, refused(KubernetesFailureKind::Gone), at(3_000)), (100, list(None)));
}

#[test]
fn a_410_after_every_list_backs_off() {
    let mut watch = watching();
    for rest in [100, 1_200, 2_400, 4_800] {
        assert_eq!(after(&mut watch, gone(), at(0)), (rest, list(None)));
        watch.on(page("6", None), at(9_000), HALF);
        watch.on(Input::Opened, at(9_000), HALF);
    }
    watch.on(bookmark("7"), at(9_000), HALF);
    assert_eq!(after(&mut watch, gone(), at(9_000)).0, 100);
}

#[test]
fn watches_that_end_at_once_back_off() {
    let mut watch = watching();
    for rest in [100, 2_400, 4_800] {
        assert_eq!(after(&mut watch, Input::Ended(None), at(0)), (rest, watch_from("5")));
        watch.on(Input::Opened, at(0), HALF);
    }
    assert_eq!(after(&mut watch, Input::Ended(None), at(1_500)), (100, watch_from("5")));
}

#[test]
fn long_silence_lists_again() {
    let mut watch = watching();
    let late = at(0).after(SILENCE);
    assert_eq!(after(&mut watch, Input::Ended(None), late), (100, list(None)));
    let mut refused_for_long = watching();
    refused_for_long.on(Input::Ended(None), at(2_000), HALF);
    assert_eq!(after(&mut refused_for_long, refused(UNAVAILABLE), late), (1_200, list(None)));
}

#[test]
fn an_unreadable_item_is_forgotten_and_counted() {
    let mut watch = Watch::new();
    let mut events = Vec::new();
    for input in [Input::Item(Err(odd(Some("a")))), item("b"), Input::Item(Err(odd(None)))] {
        let reaction = watch.on(input, at(0), HALF);
        events.extend(reaction.events.into_iter().flatten());
    }
    let last = watch.on(page("5", None), at(0), HALF);
    events.extend(last.events.into_iter().flatten());
    assert_eq!(events, [Event::Init, forget("a"), Event::InitApply(object("b")), Event::InitDone].to_vec());
    assert_eq!(last.note, Some(WatchNote::Listed { items: 1, unreadable: 2 }));
}

#[test]
fn an_unreadable_object_is_logged_once_and_counted_each_time() {
    let mut watch = watching();
    let mut logged =
        |name: &str| match watch.on(Input::Line(Frame::Unreadable(odd(Some(name)), None)), at(0), HALF).note {
            Some(WatchNote::Unreadable { logged, .. }) => logged,
            other => panic!("{other:?}"),
        };
    assert_eq!(["a", "a", "b"].map(&mut logged), [Logged::No, Logged::Before, Logged::No]);
    let crowd = (0..1_000).filter(|n| logged(&n.to_string()) == Logged::No).count();
    assert!(crowd < MOST_LOGGED, "{crowd}");
}

#[test]
fn consecutive_lines_of_unknown_objects_back_off() {
    let mut watch = watching();
    for rest in [100, 2_400, 4_800] {
        assert_eq!(after(&mut watch, unreadable(), at(0)), (rest, list(None)));
        watch.on(page("6", None), at(9_000), HALF);
        watch.on(Input::Opened, at(9_000), HALF);
    }
}

#[test]
fn a_successful_watch_ends_the_backoff_of_others_unless_the_server_set_it() {
    for (kind, rest) in [
        (UNAVAILABLE, 100),
        (KubernetesFailureKind::Forbidden, 100),
        (KubernetesFailureKind::Unavailable { retry_after_s: Some(20) }, 20_400),
    ] {
        let mut watch = watching();
        watch.on(Input::Ended(None), at(2_000), HALF);
        watch.on(refused(kind), at(3_000), HALF);
        assert_eq!(after(&mut watch, Input::OthersGotThrough, at(3_000)), (rest, watch_from("5")));
    }
    let mut resuming = watching();
    assert_eq!(after(&mut resuming, Input::OthersGotThrough, at(2_000)), (0, WatchStep::Read));
}

#[test]
fn the_first_refusals_after_an_outage_are_retried_soon() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    let nth = |watch: &mut Watch, kind| match watch.on(refused(kind), at(3_000), HALF).note {
        Some(WatchNote::BackedOff { rest, nth, .. }) => (rest.as_millis(), nth),
        other => panic!("{other:?}"),
    };
    for expected in 1..=6 {
        assert_eq!(nth(&mut watch, UNAVAILABLE).1, expected);
    }
    let forbidden = [(); 4].map(|()| nth(&mut watch, KubernetesFailureKind::Forbidden));
    assert_eq!(forbidden, [(1_200, 1), (2_400, 2), (4_800, 3), (9_600, 4)]);
}
