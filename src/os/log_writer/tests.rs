use super::*;
use crossbeam_channel::{Sender, bounded};

/// Hands on what is written to it; each line takes until it has been read.
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
fn the_level_counts_for_own_lines_only() {
    let level = LogLevel::new(LevelFilter::Error);
    let passes = |target: &str, of: Level| level.lets_pass(&Metadata::builder().target(target).level(of).build());
    assert!(passes("kube2iam::serve", Level::Error) && !passes("kube2iam::serve", Level::Warn));
    level.set(LevelFilter::Debug);
    assert_eq!(level.get(), LevelFilter::Debug);
    assert!(passes("kube2iam::serve", Level::Debug) && !passes("kube2iam::serve", Level::Trace));
    assert!(passes("rustls", Level::Warn) && !passes("rustls", Level::Info));
}

#[test]
fn the_last_line_is_written_before_the_end() {
    let (reader, written) = crossbeam_channel::unbounded();
    let (tray, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
    for line in [b"one ", b"two "] {
        assert!(tray.put(line, Duration::ZERO));
    }
    drop(thread);
    assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"one two ");
}

#[test]
fn a_reader_that_is_stuck_is_waited_for_once() {
    let tray = Arc::new(Batch::default());
    let mut pipe = Pipe { tray: tray.clone(), patience: LONGEST_WAIT };
    pipe.write_all(&vec![b'x'; TRAY_BYTES]).unwrap();
    for (taken, patience) in [(false, Duration::ZERO), (false, Duration::ZERO), (true, LONGEST_WAIT)] {
        if taken {
            tray.take(&mut Vec::new());
        }
        assert_eq!(tray.has_room(), taken);
        pipe.write_all(b"line").unwrap();
        assert_eq!(pipe.patience, patience);
    }
    let mut kept = Vec::new();
    tray.take(&mut kept);
    assert_eq!(kept, b"line");
}

#[test]
fn a_reader_that_is_stuck_does_not_hold_up_the_end() {
    let (reader, written) = bounded(0);
    let (tray, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
    assert!(tray.put(b"never read", Duration::ZERO));
    drop(thread);
    drop(written);
}

/// Takes a few bytes at a time, and nothing in between.
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
fn a_stderr_that_does_not_block_gets_whole_lines() {
    let mut narrow = Narrow { taken: Vec::new(), is_full: false };
    write(b"one line\n", &mut narrow);
    assert_eq!(narrow.taken, b"one line\n");
}
