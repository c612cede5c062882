//! The way of log lines to stderr: rendered where they arise, handed over through a bounded channel,
//! written in batches by one thread.
//!
//! Lines of requests are dropped and counted while the channel is full, see [`LogQueue::has_room`];
//! all others wait for a place, though not for ever: a reader that is stuck must not stop the agent.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use env_logger::{Builder, Logger, Target};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::threads;
use crate::logic::log_line::{Field, Line, LogFormat};
use crate::ports::Clock;

/// The log thread's queue.
#[derive(Clone)]
pub struct LogQueue {
    lines: Sender<Message>,
    level: LogLevel,
}

/// How much the agent says; may change at any time. What its libraries say stays at `warn`.
#[derive(Clone)]
pub struct LogLevel(Arc<AtomicUsize>);

/// Ends the log thread once everything is written, or can't be.
pub struct LogThread {
    lines: Sender<Message>,
    /// Closed when the thread has ended
    ended: Receiver<()>,
}

enum Message {
    Line(Vec<u8>),
    End,
}

/// Installs the logger of this process and starts the thread that writes to `output`.
pub fn start(
    level: LevelFilter,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    output: Box<dyn Write + Send>,
) -> io::Result<(LogQueue, LogThread)> {
    let (lines, thread) = LogThread::start(output)?;
    let pipe = Pipe { lines: lines.clone(), patience: LONGEST_WAIT };
    let logger = Builder::new()
        .filter(None, LevelFilter::Trace)
        .target(Target::Pipe(Box::new(pipe)))
        .format(move |buffer, record| buffer.write_all(line_of(format, &*clock, record).as_bytes()))
        .build();
    let level = LogLevel::new(level);
    let installed = log::set_boxed_logger(Box::new(Adjustable { logger, level: level.clone() }));
    installed.map_err(|cause| io::Error::other(format!("failed to install the logger: {cause}")))?;
    level.set(level.get());
    Ok((LogQueue { lines, level }, thread))
}

impl LogQueue {
    /// Whether a line would find a place at once.
    pub fn has_room(&self) -> bool {
        !self.lines.is_full()
    }

    pub fn level(&self) -> &LogLevel {
        &self.level
    }
}

impl LogLevel {
    pub fn new(level: LevelFilter) -> Self {
        Self(Arc::new(AtomicUsize::new(level as usize)))
    }

    pub fn get(&self) -> LevelFilter {
        LevelFilter::iter().nth(self.0.load(Ordering::Relaxed)).unwrap_or(LevelFilter::Info)
    }

    /// Lines from now on are judged by `level`. Those below it cost no more than a comparison.
    pub fn set(&self, level: LevelFilter) {
        self.0.store(level as usize, Ordering::Relaxed);
        log::set_max_level(level.max(OTHERS));
    }

    fn lets_pass(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= if metadata.target().starts_with(OWN) { self.get() } else { OTHERS }
    }
}

/// env_logger's own filter is fixed once it is built.
struct Adjustable {
    logger: Logger,
    level: LogLevel,
}

impl Log for Adjustable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.level.lets_pass(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

impl LogThread {
    fn start(output: Box<dyn Write + Send>) -> io::Result<(Sender<Message>, Self)> {
        let (lines, queue) = bounded(QUEUE_LINES);
        let (alive, ended) = bounded(0);
        threads::spawn("log", threads::STACK_BYTES, move || {
            let _alive: Sender<()> = alive;
            write_lines(&queue, output);
        })?;
        Ok((lines.clone(), Self { lines, ended }))
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        if self.lines.send_timeout(Message::End, LAST_WAIT).is_ok() {
            let _ = self.ended.recv_timeout(LAST_WAIT); // nothing is ever sent
        }
    }
}

/// Writes while env_logger holds its lock: what waits here holds up everybody's lines.
struct Pipe {
    lines: Sender<Message>,
    /// How long the next line may wait: once, then not at all until the reader has moved
    patience: Duration,
}

impl Write for Pipe {
    /// One call is one line: env_logger writes a record's buffer at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let sent = self.lines.send_timeout(Message::Line(line.to_vec()), self.patience); // lost if stderr is stuck
        self.patience = if sent.is_ok() { LONGEST_WAIT } else { Duration::ZERO };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is there in one go, then waits for more. A closed stderr loses lines and nothing else.
fn write_lines(queue: &Receiver<Message>, mut output: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut end = false;
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::End => end = true,
            }
            next = if batch.len() < BATCH_BYTES { queue.try_recv().ok() } else { None };
        }
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        batch.clear();
        if end {
            return;
        }
        // Lines gather while nobody listens: one write and one wake-up for many of them.
        park_timeout(GATHERING);
    }
}

fn line_of(format: LogFormat, clock: &dyn Clock, record: &Record<'_>) -> String {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let mut fields = Fields(Vec::with_capacity(USUAL_FIELDS));
    let _ = record.key_values().visit(&mut fields); // collecting can't fail
    Line { at: clock.now().wall, level, message: *record.args(), fields: fields.0 }.render(format)
}

/// The fields of a record; an empty text says nothing and is left out.
struct Fields<'kvs>(Vec<(Key<'kvs>, Field<'kvs>)>);

impl<'kvs> VisitSource<'kvs> for Fields<'kvs> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let field = match (value.to_borrowed_str(), value.to_i64(), value.to_f64()) {
            (Some(text), ..) => Field::Text(text.into()),
            (None, Some(whole), _) => Field::Whole(whole),
            (None, None, Some(number)) => Field::Number(number),
            _ => Field::Text(value.to_string().into()),
        };
        if !matches!(&field, Field::Text(text) if text.is_empty()) {
            self.0.push((key, field));
        }
        Ok(())
    }
}

/// A request's line has as many, empty ones included.
const USUAL_FIELDS: usize = 12;
/// What the targets of the agent's own lines begin with.
const OWN: &str = "kube2iam";
/// What is heard of libraries.
const OTHERS: LevelFilter = LevelFilter::Warn;
/// Lines that may wait for the log thread.
const QUEUE_LINES: usize = 1_024;
const BATCH_BYTES: usize = 64 * 1_024;
/// How long the log thread rests between two batches.
const GATHERING: Duration = Duration::from_millis(5);
/// How long a line that matters waits for a place.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the end waits for a reader of the log: what is to be read is read in a moment.
const LAST_WAIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

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
        let (lines, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
        for line in [b"one ", b"two "] {
            lines.send(Message::Line(line.to_vec())).unwrap();
        }
        drop(thread);
        assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"one two ");
    }

    #[test]
    fn a_reader_that_is_stuck_is_waited_for_once() {
        let (lines, queue) = bounded(1);
        let mut pipe = Pipe { lines, patience: LONGEST_WAIT };
        for (taken, patience) in
            [(false, LONGEST_WAIT), (false, Duration::ZERO), (false, Duration::ZERO), (true, LONGEST_WAIT)]
        {
            if taken {
                queue.recv().unwrap();
            }
            pipe.write_all(b"line").unwrap();
            assert_eq!(pipe.patience, patience);
        }
    }

    #[test]
    fn a_reader_that_is_stuck_does_not_hold_up_the_end() {
        let (reader, written) = bounded(0);
        let (lines, thread) = LogThread::start(Box::new(Reader(reader))).unwrap();
        lines.send(Message::Line(b"never read".to_vec())).unwrap();
        drop(thread);
        drop(written);
    }
}
