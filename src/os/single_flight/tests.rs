use super::*;
use crate::os::clock::SystemClock;
use crate::os::threads;
use crossbeam_channel::bounded;

type Flights = SingleFlight<u32, &'static str>;
const TIMEOUT: Duration = Duration::from_secs(10);

fn flights() -> Arc<Flights> {
    Arc::new(SingleFlight::new(Arc::new(SystemClock::new())))
}

fn endless(value: u32) -> Result<Lease<u32>, &'static str> {
    Ok(Lease { value, renew_from: None, end: None })
}

#[test]
fn sixteen_callers_make_one_fetch() {
    let flights = flights();
    let (begun, wait_for_begin) = bounded(1);
    let (go_on, wait_to_go_on) = bounded::<()>(1);
    let first = {
        let flights = Arc::clone(&flights);
        threads::spawn("first", threads::STACK_BYTES, move || {
            let got = flights.get(TIMEOUT, || {
                begun.send(()).unwrap();
                wait_to_go_on.recv_timeout(TIMEOUT).unwrap();
                endless(7)
            });
            assert_eq!(got, Ok(7));
        })
        .unwrap()
    };
    wait_for_begin.recv_timeout(TIMEOUT).unwrap();
    let others: Vec<_> = (0..15)
        .map(|_| {
            let flights = Arc::clone(&flights);
            let other = move || assert_eq!(flights.get(TIMEOUT, || Err("a second fetch")), Ok(7));
            threads::spawn("other", threads::STACK_BYTES, other).unwrap()
        })
        .collect();
    go_on.send(()).unwrap();
    first.join().unwrap();
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn wait_times_out_while_another_caller_fetches() {
    let flights = flights();
    let inner = Arc::clone(&flights);
    let got = flights.get(TIMEOUT, move || {
        assert_eq!(inner.get(Duration::ZERO, || endless(1)), Err(Missed::TimedOut));
        endless(2)
    });
    assert_eq!(got, Ok(2));
}

#[test]
fn panic_during_a_fetch_lets_another_caller_fetch() {
    let flights = flights();
    let inner = Arc::clone(&flights);
    let lost = threads::spawn("lost", threads::STACK_BYTES, move || {
        let _ = inner.get(TIMEOUT, || panic!("on the way"));
    });
    assert!(lost.unwrap().join().is_err());
    assert_eq!(flights.get(TIMEOUT, || endless(3)), Ok(3));
}

#[test]
fn failure_is_cached_and_discard_fetches_again() {
    let flights = flights();
    assert_eq!(flights.get(TIMEOUT, || Err("no")), Err(Missed::Failed("no")));
    assert_eq!(flights.get(TIMEOUT, || endless(1)), Err(Missed::Failed("no")));
    let other = self::flights();
    assert_eq!(other.get(TIMEOUT, || endless(1)), Ok(1));
    other.discard(|value| *value == 1);
    assert_eq!(other.get(TIMEOUT, || endless(2)), Ok(2));
}
