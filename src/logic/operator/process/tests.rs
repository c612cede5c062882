use super::*;

#[test]
fn usage_is_parsed_whatever_the_process_name() {
    let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 12345 99 88";
    let status = "Name:\ta) b\nVmSize:\t   2048 kB\nVmRSS:\t    512 kB\nThreads:\t9\n";
    let usage = Usage::read(stat, status, "cpu 1 2 3\nbtime 1795412524\nprocesses 5\n");
    let expected = Usage {
        processor: Duration::from_secs(3),
        started_s: 1_795_412_647.45,
        virtual_bytes: 2 << 20,
        resident_bytes: 512 << 10,
        threads: 9,
        ..Usage::default()
    };
    assert_eq!(usage, expected);
    assert_eq!(Usage::read("", "VmRSS:", "btime x"), Usage::default());
}
