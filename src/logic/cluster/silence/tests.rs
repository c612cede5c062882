use super::*;

fn at(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1_000)
}

#[test]
fn silence_of_all_watches_is_probed_within_90_s_and_with_backoff() {
    let mut silence = WatchSilence::default();
    assert_eq!(silence.due(at(10)), at(82));
    silence.asked(at(10), at(82));
    assert_eq!(silence.due(at(10)), at(82 + 144));
    silence.asked(at(10), at(226));
    assert_eq!(silence.due(at(10)), at(226 + 288));
    assert_eq!(silence.due(at(300)), at(372), "what comes is a new beginning");
    for _ in 0..10 {
        silence.asked(at(10), at(1_000));
    }
    assert_eq!(silence.due(at(10)), at(1_600));
}
