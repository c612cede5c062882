//! Failures in a row, of one kind and of several.

use super::*;

/// How long the watch rests after a failure, in ms, and which of its kind it was.
fn backed_off(watch: &mut Watch, input: Input) -> (u128, u32) {
    match watch.on(input, at(3_000), HALF).note {
        Some(Note::BackedOff { rest, nth, .. }) => (rest.as_millis(), nth),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_refusals_after_an_outage_are_tried_again_soon() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    for expected in 1..=6 {
        assert_eq!(backed_off(&mut watch, refused(UNAVAILABLE)).1, expected);
    }
    let forbidden = [(); 4].map(|()| backed_off(&mut watch, refused(KubernetesFailureKind::Forbidden)));
    assert_eq!(forbidden, [(1_200, 1), (2_400, 2), (4_800, 3), (9_600, 4)]);
}

#[test]
fn failures_of_two_kinds_in_turn_back_off_and_are_counted_apart() {
    let mut watch = watching();
    watch.on(Input::Ended(None), at(2_000), HALF);
    let mut last = [(0, 0); 2];
    for _ in 0..6 {
        last = [UNAVAILABLE, KubernetesFailureKind::Forbidden].map(|kind| backed_off(&mut watch, refused(kind)));
    }
    assert!(last.iter().all(|(rest, nth)| *rest > 9_600 && *nth == 6), "{last:?}");
}

#[test]
fn a_continue_token_that_fails_in_two_ways_is_dropped() {
    let mut watch = Watch::new();
    watch.on(item("a"), at(0), HALF);
    watch.on(page("5", Some("more")), at(0), HALF);
    assert_eq!(after(&mut watch, refused(UNAVAILABLE), at(0)).1, list(Some("more")));
    assert_eq!(after(&mut watch, refused(KubernetesFailureKind::Forbidden), at(9_000)).1, list(None));
}

#[test]
fn watches_that_end_at_birth_back_off_and_from_the_second_on_are_failures() {
    let mut watch = watching();
    for (rest, fails) in [(100, false), (2_400, true), (4_800, true)] {
        let note = watch.on(Input::Ended(None), at(0), HALF).note;
        assert_eq!(matches!(note, Some(Note::BackedOff { .. })), fails, "{note:?}");
        assert_eq!(matches!(note, Some(Note::Ended { .. })), !fails, "{note:?}");
        assert_eq!(watch.next(at(rest)), watch_from("5"));
        assert_ne!(watch.next(at(rest - 1)), watch_from("5"));
        watch.on(Input::Opened, at(0), HALF);
    }
    assert_eq!(after(&mut watch, Input::Ended(None), at(1_500)), (100, watch_from("5")));
}
