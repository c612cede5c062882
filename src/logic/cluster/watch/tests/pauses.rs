//! The waits of a watch, and its reports meanwhile.

use super::*;

#[test]
fn an_elapsed_wait_is_not_restarted_when_other_watches_succeed() {
    let mut watch = Watch::new();
    let (rest, _) = after(&mut watch, refused(UNAVAILABLE), at(0));
    let over = at(u64::try_from(rest).unwrap());
    assert_eq!(after(&mut watch, Input::OthersGotThrough, over), (0, list(None)));
}

#[test]
fn only_the_first_refusal_after_an_outage_resets_the_backoff() {
    let pauses = |kinds: [KubernetesFailureKind; 3]| {
        let mut watch = Watch::new();
        kinds.map(|kind| {
            let now = watch.rest_until;
            after(&mut watch, refused(kind), now).0
        })
    };
    let [first, second, third] = pauses([UNAVAILABLE; 3]);
    assert!(first < second && second < third);
    let refusal = KubernetesFailureKind::Forbidden;
    assert_eq!(pauses([refusal, refusal, UNAVAILABLE]), [first, second, third]);
    assert_eq!(pauses([UNAVAILABLE, UNAVAILABLE, refusal]), [first, second, first]);
}

#[test]
fn an_error_object_resumes_the_watch_once_and_not_after_a_state_was_forgotten() {
    let failed = || Input::Line(Frame::Failed("etcd".to_owned()));
    let mut watch = watching();
    assert_eq!(after(&mut watch, failed(), at(0)).1, watch_from("5"));
    watch.on(Input::Opened, at(2_000), HALF);
    assert_eq!(after(&mut watch, failed(), at(2_000)).1, list(None));
    let mut watch = watching();
    watch.on(forgotten(), at(0), HALF);
    assert_eq!(after(&mut watch, failed(), at(0)).1, list(None));
}

#[test]
fn a_watch_that_lasted_a_second_is_resumed_at_once() {
    for (millis, again) in [(999, false), (1_000, true)] {
        let mut watch = watching();
        let mut pause = 0;
        for _ in 0..3 {
            let opened = watch.rest_until;
            watch.on(Input::Opened, opened, HALF);
            pause = after(&mut watch, Input::Ended(None), opened.after(Duration::from_millis(millis))).0;
        }
        assert_eq!(pause < 200, again, "{millis} ms: {pause}");
    }
}

#[test]
fn unreadable_items_are_reported_and_logged_once_up_to_a_limit() {
    let mut watch = Watch::new();
    let mut note = |name: &str| {
        let reaction = watch.on(Input::Item(Err(odd(Some(name)))), at(0), HALF);
        assert_eq!(reaction.events[1], Some(forget(name)));
        match reaction.note {
            Some(WatchNote::Unreadable { logged, .. }) => logged,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([note("a"), note("a")], [Logged::No, Logged::Before]);
    for number in 1..MOST_LOGGED {
        assert_eq!(note(&number.to_string()), Logged::No, "{number}");
    }
    assert_eq!(note("beyond"), Logged::Before);
}

#[test]
fn every_cause_of_a_new_list_has_its_own_message() {
    for (why, words) in [
        (Relist::Gone("410".into()), "its version is too old: 410"),
        (Relist::Failed("etcd".into()), "the server reported errors in a row: etcd"),
        (Relist::Unreadable("not json".into()), "a line can't be read: not json"),
        (Relist::Forgotten, "objects that could not be read were forgotten"),
        (Relist::Silence, "nothing came for 600 s"),
    ] {
        assert_eq!(why.to_string(), words);
    }
}
