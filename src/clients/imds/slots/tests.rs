use super::*;
use crate::os::clock::SystemClock;
use std::time::Duration;

#[test]
fn slot_is_awaited_and_released() {
    let clock = SystemClock::new();
    let slots = Slots::new(1);
    let soon = clock.now().mono.after(Duration::from_millis(20));
    let held = slots.take(soon, &clock).unwrap();
    assert!(slots.take(soon, &clock).is_none());
    drop(held);
    assert!(slots.take(clock.now().mono, &clock).is_some());
}
