use super::*;
use crossbeam_channel::{Sender, bounded};

/// Sends written bytes into a channel; a write blocks until the channel has room.
struct Reader(Sender<Vec<u8>>);

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn level_applies_to_own_lines_only() {
    let level = LogLevel::new(LevelFilter::Error);
    let passes = |target: &str, of: Level| level.allows(&Metadata::builder().target(target).level(of).build());
    assert!(passes("kube2iam::serve", Level::Error) && !passes("kube2iam::serve", Level::Warn));
    level.set(LevelFilter::Debug);
    assert_eq!(level.get(), LevelFilter::Debug);
    assert!(passes("kube2iam::serve", Level::Debug) && !passes("kube2iam::serve", Level::Trace));
    assert!(passes("rustls", Level::Warn) && !passes("rustls", Level::Info));
}

#[test]
fn last_line_is_written_before_exit() {
    let (reader, written) = crossbeam_channel::unbounded();
    let (queue, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
    for line in [b"one ", b"two "] {
        assert!(queue.put(line, Duration::ZERO));
    }
    drop(thread);
    assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"one two ");
}

#[test]
fn stuck_reader_causes_one_timeout() {
    let queue = Arc::new(Batch::default());
    let mut pipe = Pipe { queue: queue.clone(), timeout: ENQUEUE_TIMEOUT };
    pipe.write_all(&vec![b'x'; QUEUE_BYTES]).unwrap();
    for (taken, timeout) in [(false, Duration::ZERO), (false, Duration::ZERO), (true, ENQUEUE_TIMEOUT)] {
        if taken {
            queue.take(&mut Vec::new());
        }
        assert_eq!(queue.has_room(), taken);
        pipe.write_all(b"line").unwrap();
        assert_eq!(pipe.timeout, timeout);
    }
    let mut kept = Vec::new();
    queue.take(&mut kept);
    assert_eq!(kept, b"line");
}

#[test]
fn stuck_reader_does_not_block_exit() {
    let (reader, written) = bounded(0);
    let (queue, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
    assert!(queue.put(b"never read", Duration::ZERO));
    drop(thread);
    drop(written);
}

/// Accepts three bytes at a time, and returns `WouldBlock` in between.
struct Narrow {
    taken: Vec<u8>,
    is_full: bool,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_full = !self.is_full;
        if self.is_full {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(3);
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn non_blocking_stderr_gets_complete_lines() {
    let mut narrow = Narrow { taken: Vec::new(), is_full: false };
    write(b"one line\n", &mut narrow);
    assert_eq!(narrow.taken, b"one line\n");
}
