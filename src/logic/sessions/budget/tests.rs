use super::*;

const RATE: Rate = Rate { burst: 2.0, refill: 2.0 };

#[test]
fn a_burst_then_a_steady_rate() {
    let at = Mono::from_millis;
    let mut bucket = Bucket::full(RATE, at(0));
    let taken = [0, 0, 0, 499, 500, 501, 10_000, 10_000, 10_000].map(|millis| bucket.take(RATE, at(millis)));
    assert_eq!(taken, [true, true, false, false, true, false, true, true, false]);
    assert_eq!(bucket.ready_at(RATE, at(10_000)), at(10_500));
}

#[test]
fn a_token_is_available_at_the_promised_time() {
    for (refill, spans) in [(0.5, [1, 7, 333_333]), (10.0, [1, 3, 99_999]), (0.3, [1, 1_234_567, 77])] {
        let rate = Rate { burst: 1.0, refill };
        let mut now = Mono::from_millis(1);
        let mut bucket = Bucket::full(rate, now);
        for span in spans.into_iter().cycle().take(3_000) {
            now = now.after(Duration::from_micros(span));
            let ready = bucket.ready_at(rate, now);
            if ready > now {
                assert!(!bucket.take(rate, now));
            }
            now = ready;
            assert!(bucket.take(rate, now), "{refill} {span}");
        }
    }
}

#[test]
fn every_client_has_a_bucket_and_full_ones_are_dropped() {
    let at = Mono::from_millis;
    let mut buckets = Buckets::new(RATE);
    assert!((0..MOST_BUCKETS).all(|client| buckets.take(client, at(0))));
    assert!(!buckets.take(MOST_BUCKETS, at(0)));
    assert!(buckets.take(MOST_BUCKETS, at(1_000)));
}

#[test]
fn a_known_client_is_served_while_there_is_no_room_for_another() {
    let at = Mono::from_millis;
    let mut buckets = Buckets::new(RATE);
    assert!((0..MOST_BUCKETS).all(|client| buckets.take(client, at(0))));
    assert_eq!([7, 7, MOST_BUCKETS].map(|client| buckets.take(client, at(0))), [true, false, false]);
}
