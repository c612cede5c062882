use super::*;
use crate::config::{Command, parse};

/// Rooms that reach nothing: what is tested here asks nobody.
fn rooms() -> (Arc<Rooms>, Arc<Latch>) {
    let words = ["--api-server=http://127.0.0.1:1", "--api-token=x"].into_iter().map(str::to_owned);
    let config = match parse(words, &|_| None) {
        Ok(Command::Run(config)) => config,
        other => panic!("{other:?}"),
    };
    let time = Arc::new(SystemClock::new());
    let latch = Arc::new(Latch::new(time.clone()));
    let environment = AwsEnvironment::from_lookup(&|_| None);
    let ports = Ports::open(&config, &environment, time, None).unwrap();
    (Rooms::new(&config, ports, latch.clone(), Box::new(|| true)).unwrap(), latch)
}

#[test]
fn a_thread_that_panics_ends_the_agent_with_a_failure() {
    let (rooms, latch) = rooms();
    start(&rooms, "good", |_| {}).unwrap().join().unwrap();
    assert!(!latch.is_closed() && fallen(&rooms).is_ok());
    start(&rooms, "bad", |_| panic!("as a test wants it")).unwrap().join().unwrap();
    assert!(latch.is_closed());
    let error = fallen(&rooms).unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().as_str()), (1, "failed to keep `bad` running: it panicked"));
}
