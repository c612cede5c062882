//! Any inputs in any order.

use proptest::prelude::*;

use super::*;

fn any_input() -> impl Strategy<Value = Input> {
    let version = || (1_u32..9).prop_map(|version| version.to_string());
    let kind = prop_oneof![
        Just(KubernetesFailureKind::Gone),
        Just(KubernetesFailureKind::Forbidden),
        proptest::option::of(any::<u32>())
            .prop_map(|retry_after_s| KubernetesFailureKind::Unavailable { retry_after_s }),
    ];
    prop_oneof![
        Just(item("a")),
        Just(Input::Item(Err(odd(Some("a"))))),
        Just(Input::Item(Err(odd(None)))),
        Just(Input::Line(Frame::Unreadable(odd(Some("a")), None))),
        Just(Input::OthersGotThrough),
        (version(), proptest::option::of(Just("more".to_owned())))
            .prop_map(|(version, continuation)| { Input::Page(ListPage { version, continuation }) }),
        kind.prop_map(refused),
        Just(Input::Opened),
        version().prop_map(|version| Input::Line(Frame::Modified(object("a"), version))),
        version().prop_map(|version| Input::Line(Frame::Deleted(object("a"), version))),
        version().prop_map(|version| Input::Line(Frame::Bookmark(version))),
        Just(gone()),
        Just(unreadable()),
        Just(Input::Line(Frame::Failed(String::new()))),
        Just(Input::Ended(None)),
    ]
}

proptest! {
    /// For any inputs in any order: list items only within a list, changes only outside of one, and no wait so long
    /// that the World becomes outdated.
    #[test]
    fn no_request_ever_sees_half_a_list(inputs in proptest::collection::vec((any_input(), any::<u64>(), 0_u64..400_000), 0..60)) {
        let (mut watch, mut now, mut in_list) = (Watch::new(), Mono::default(), false);
        for (input, random, passed) in inputs {
            now = now.after(Duration::from_millis(passed));
            for event in watch.on(input, now, random).events.into_iter().flatten() {
                match event {
                    Event::Init => in_list = true,
                    Event::InitApply(_) => prop_assert!(in_list),
                    Event::Forget(_) => {}
                    Event::InitDone => prop_assert!(std::mem::take(&mut in_list)),
                    Event::Apply(_) | Event::Delete(_) => prop_assert!(!in_list),
                }
            }
            if let WatchStep::Rest { until, .. } = watch.next(now) {
                prop_assert!(now.until(until) <= Duration::from_secs(121));
            }
        }
    }
}
