use proptest::prelude::*;

use super::*;
use crate::logic::kubernetes::Namespace;

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
    Input::Page(Page { version: version.to_owned(), continuation: continuation.map(str::to_owned), unreadable: 0 })
}

fn refused(kind: KubernetesFailureKind) -> Input {
    Input::Refused(KubernetesFailure { kind, cause: "no".to_owned() })
}

const UNAVAILABLE: KubernetesFailureKind = KubernetesFailureKind::Unavailable { retry_after_s: None };

fn bookmark(version: &str) -> Input {
    Input::Line(Frame::Bookmark(version.to_owned()))
}

fn unreadable() -> Input {
    Input::Line(Frame::Unreadable("not json".to_owned()))
}

fn gone() -> Input {
    Input::Line(Frame::Gone("too old".to_owned()))
}

fn list(continuation: Option<&str>) -> Step {
    Step::List { continuation: continuation.map(str::to_owned) }
}

fn watch_from(version: &str) -> Step {
    Step::Watch { version: version.to_owned() }
}

/// A picture listed at version 5, its watch open, at time zero.
fn watching() -> Watch {
    let mut watch = Watch::new();
    watch.on(page("5", None), at(0), HALF);
    watch.on(Input::Opened, at(0), HALF);
    watch
}

/// Feeds an input and gives how long the machine then rests, in ms, and what it does after that.
fn after(watch: &mut Watch, input: Input, now: Mono) -> (u128, Step) {
    watch.on(input, now, HALF);
    match watch.next(now) {
        Step::Rest { until } => (now.until(until).as_millis(), watch.next(until)),
        step => (0, step),
    }
}

#[test]
fn a_paged_list_is_one_init() {
    let mut watch = Watch::new();
    let mut events = Vec::new();
    assert_eq!(watch.next(at(0)), list(None));
    for input in [Input::Item(object("a")), page("5", Some("more")), Input::Item(object("b")), page("5", None)] {
        events.extend(watch.on(input, at(1), HALF).events.into_iter().flatten());
    }
    let expected =
        [Event::Init, Event::InitApply(object("a")), Event::InitApply(object("b")), Event::InitDone].to_vec();
    assert_eq!(events, expected);
    assert_eq!(watch.next(at(1)), watch_from("5"));
}

#[test]
fn an_empty_list_is_told_too() {
    let reaction = Watch::new().on(page("5", None), at(0), HALF);
    assert_eq!(reaction.events, [Some(Event::Init), Some(Event::InitDone)]);
    assert_eq!(reaction.note, Some(Note::Listed { items: 0, unreadable: 0 }));
}

#[test]
fn an_empty_first_page_begins_the_list() {
    let mut watch = Watch::new();
    assert_eq!(watch.on(page("5", Some("more")), at(0), HALF).events, [Some(Event::Init), None]);
    assert_eq!(watch.next(at(0)), list(Some("more")));
    assert_eq!(watch.on(page("5", None), at(0), HALF).events, [None, Some(Event::InitDone)]);
}

#[test]
fn a_first_page_that_breaks_starts_over() {
    let mut watch = Watch::new();
    watch.on(Input::Item(object("a")), at(0), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(0)), (1_200, list(None)));
    let again = watch.on(Input::Item(object("a")), at(1_200), HALF);
    assert_eq!(again.events[0], Some(Event::Init));
}

#[test]
fn a_later_page_is_asked_for_once_more_then_the_list_starts_over() {
    let mut watch = Watch::new();
    watch.on(Input::Item(object("a")), at(0), HALF);
    watch.on(page("5", Some("more")), at(0), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(0)), (1_200, list(Some("more"))));
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(9_000)), (2_400, list(None)));
    assert_eq!(watch.on(page("6", None), at(20_000), HALF).events[0], Some(Event::Init));
}

#[test]
fn a_continue_token_too_old_starts_over_at_once() {
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
        (Frame::Unreadable(String::new()), None, "9"),
    ] {
        assert_eq!(watch.on(Input::Line(frame), at(1), HALF).events, [event, None]);
        assert_eq!(watch.version, version);
        assert_eq!(watch.next(at(1)), Step::Read);
    }
}

#[test]
fn what_ends_a_watch_decides_what_follows() {
    let broken = || Input::Ended(Some(KubernetesFailure { kind: UNAVAILABLE, cause: "reset".to_owned() }));
    for (what, inputs, expected) in [
        ("clean end", vec![bookmark("6"), Input::Ended(None)], (100, watch_from("6"))),
        ("broken", vec![bookmark("6"), broken()], (100, watch_from("6"))),
        ("no word", vec![Input::Ended(None)], (100, watch_from("5"))),
        ("too old", vec![bookmark("6"), gone()], (100, list(None))),
        ("error object", vec![Input::Line(Frame::Failed("etcd".to_owned()))], (1_200, watch_from("5"))),
        ("unreadable, then error", vec![unreadable(), Input::Line(Frame::Failed(String::new()))], (1_200, list(None))),
        ("unreadable", vec![unreadable(), bookmark("6"), Input::Ended(None)], (1_200, list(None))),
        ("endless line", vec![bookmark("6"), Input::TooLong], (1_200, list(None))),
    ] {
        let mut watch = watching();
        let last = inputs.into_iter().map(|input| after(&mut watch, input, at(2_000))).last().unwrap();
        assert_eq!(last, expected, "{what}");
    }
}

#[test]
fn refusals_in_a_row_back_off_and_any_frame_resets_them() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    for (kind, rest) in [
        (UNAVAILABLE, 1_200),
        (KubernetesFailureKind::Unauthorized, 2_400),
        (KubernetesFailureKind::Forbidden, 4_800),
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
fn watches_that_end_at_birth_back_off() {
    let mut watch = watching();
    for rest in [100, 2_400, 4_800] {
        assert_eq!(after(&mut watch, Input::Ended(None), at(0)), (rest, watch_from("5")));
        watch.on(Input::Opened, at(0), HALF);
    }
    assert_eq!(after(&mut watch, Input::Ended(None), at(1_500)), (100, watch_from("5")));
}

#[test]
fn long_silence_lists_anew() {
    let mut watch = watching();
    let late = at(0).after(SILENCE);
    assert_eq!(after(&mut watch, Input::Ended(None), late), (100, list(None)));
    let mut refused_for_long = watching();
    refused_for_long.on(Input::Ended(None), at(2_000), HALF);
    assert_eq!(after(&mut refused_for_long, refused(UNAVAILABLE), late), (1_200, list(None)));
}

#[test]
fn every_unreadable_line_is_counted() {
    let mut watch = watching();
    for nth in 1..=3 {
        let note = watch.on(unreadable(), at(0), HALF).note;
        assert_eq!(note, Some(Note::Unreadable { why: "not json".to_owned(), nth }));
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    let version = || (1_u32..9).prop_map(|version| version.to_string());
    let kind = prop_oneof![
        Just(KubernetesFailureKind::Gone),
        Just(KubernetesFailureKind::Forbidden),
        proptest::option::of(any::<u32>())
            .prop_map(|retry_after_s| KubernetesFailureKind::Unavailable { retry_after_s }),
    ];
    prop_oneof![
        Just(Input::Item(object("a"))),
        (version(), proptest::option::of(Just("more".to_owned())))
            .prop_map(|(version, continuation)| { Input::Page(Page { version, continuation, unreadable: 0 }) }),
        kind.prop_map(refused),
        Just(Input::Opened),
        version().prop_map(|version| Input::Line(Frame::Modified(object("a"), version))),
        version().prop_map(|version| Input::Line(Frame::Deleted(object("a"), version))),
        version().prop_map(|version| Input::Line(Frame::Bookmark(version))),
        Just(gone()),
        Just(unreadable()),
        Just(Input::Line(Frame::Failed(String::new()))),
        Just(Input::TooLong),
        Just(Input::Ended(None)),
    ]
}

proptest! {
    /// Whatever comes in whatever order: list items only within a list, changes only outside of one, and no rest so
    /// long that the picture would be left alone.
    #[test]
    fn nobody_ever_sees_half_a_list(inputs in proptest::collection::vec((any_input(), any::<u64>(), 0_u64..400_000), 0..60)) {
        let (mut watch, mut now, mut in_list) = (Watch::new(), Mono::default(), false);
        for (input, dice, passed) in inputs {
            now = now.after(Duration::from_millis(passed));
            for event in watch.on(input, now, dice).events.into_iter().flatten() {
                match event {
                    Event::Init => in_list = true,
                    Event::InitApply(_) => prop_assert!(in_list),
                    Event::InitDone => prop_assert!(std::mem::take(&mut in_list)),
                    Event::Apply(_) | Event::Delete(_) => prop_assert!(!in_list),
                }
            }
            if let Step::Rest { until } = watch.next(now) {
                prop_assert!(now.until(until) <= Duration::from_secs(121));
            }
        }
    }
}
