use super::*;

#[test]
fn monotonic_time_never_goes_back_and_starts_near_zero() {
    let clock = SystemClock::new();
    let moments: Vec<Mono> = (0..1_000).map(|_| clock.now().mono).collect();
    assert!(moments.is_sorted());
    assert!(moments[0].since(Mono::default()) < Duration::from_secs(60));
}

#[test]
fn waiting_thread_uses_no_cpu_time() {
    let clock = SystemClock::new();
    let (began, cpu_time) = (clock.now().mono, clock.cpu_time());
    let (_sender, nothing) = crossbeam_channel::bounded::<()>(0);
    let _ = nothing.recv_timeout(Duration::from_millis(50));
    assert!(clock.cpu_time().saturating_sub(cpu_time) < clock.now().mono.since(began) / 2);
    let (cpu_time, some) = (clock.cpu_time(), Duration::from_millis(1));
    while clock.cpu_time() - cpu_time < some {}
}

/// `/proc/uptime` includes suspend as well.
#[test]
fn monotonic_time_includes_suspend() {
    let uptime = || {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let (before, read, after) = (uptime(), since_boot().as_secs_f64(), uptime());
    // /proc/uptime has a resolution of 10 ms
    assert!((before - 0.01..=after + 0.01).contains(&read), "{before} {read} {after}");
}
