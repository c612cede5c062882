use super::*;
use crate::os::threads;
use crate::ports::Time;

#[test]
fn notification_between_read_and_wait_is_not_missed() {
    let clock = SystemClock::new();
    let notifier = clock.notifier();
    let before = notifier.generation();
    notifier.notify();
    notifier.wait(before, Mono::from_micros(u64::MAX));
}

#[test]
fn wait_ends_with_a_notification_or_at_the_deadline() {
    let clock = SystemClock::new();
    let notifier = clock.notifier();
    notifier.wait(notifier.generation(), clock.now().mono);
    let (ringer, before) = (notifier.clone(), notifier.generation());
    let thread = threads::spawn("ringer", threads::STACK_BYTES, move || ringer.notify());
    let deadline = clock.now().mono.after(Duration::from_secs(10));
    notifier.wait(before, deadline);
    assert!(clock.now().mono < deadline);
    thread.unwrap().join().unwrap();
}
