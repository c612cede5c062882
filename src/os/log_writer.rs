//! Writes log lines to stderr. The calling thread renders a line and appends it to a bounded queue; one thread writes
//! the queue in batches. The queue is a single byte buffer: a channel would need an allocation per line, freed on
//! another thread.
//!
//! While the queue is full, request lines are dropped and counted, see [`LogQueue::offer`]; other lines wait for space
//! up to a timeout: a stuck reader of stderr must not stop the agent.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

use env_logger::{Builder, Logger, Target};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::{Condvar, Mutex};

use super::threads;
use crate::logic::operator::log_line::{FieldValue, LineParts, LogFormat, MessageText, Taken};
use crate::ports::Clock;

/// The log thread's queue.
#[derive(Clone)]
pub struct LogQueue {
    queue: Arc<Batch>,
    level: LogLevel,
    format: LogFormat,
}

/// The level of the agent's own log lines; may change at any time. The level of libraries stays at `warn`.
#[derive(Clone)]
pub struct LogLevel(Arc<AtomicUsize>);

/// Stops the log thread on drop, after the queue has been written or [`FLUSH_TIMEOUT`] has passed.
pub struct LogThread {
    queue: Arc<Batch>,
}

/// Lines waiting for the log thread.
#[derive(Default)]
struct Batch {
    lines: Mutex<LineBuffer>,
    /// Signalled when there are bytes to write, or at the end.
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    last: bool,
    /// The log thread has ended.
    ended: bool,
}

/// Held by the log thread; its drop marks the thread as ended, even after a panic.
struct Writing(Arc<Batch>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lines.lock().ended = true;
        self.0.emptied.notify_all();
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.lines.lock().bytes.len() < QUEUE_BYTES
    }

    /// Appends a line; waits up to `timeout` for space. Returns false if there was none: the line is lost.
    fn put(&self, line: &[u8], timeout: Duration) -> bool {
        let mut lines = self.lines.lock();
        if lines.bytes.len() >= QUEUE_BYTES {
            self.emptied.wait_while_for(&mut lines, |lines| lines.bytes.len() >= QUEUE_BYTES, timeout);
            if lines.bytes.len() >= QUEUE_BYTES {
                return false;
            }
        }
        let was_empty = lines.bytes.is_empty();
        lines.bytes.extend_from_slice(line);
        drop(lines);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// Waits for lines and swaps them into `batch`, which must be empty. Returns false if these are the last.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut lines = self.lines.lock();
        self.filled.wait_while(&mut lines, |lines| lines.bytes.is_empty() && !lines.last);
        std::mem::swap(&mut lines.bytes, batch);
        let continues = !lines.last;
        drop(lines);
        self.emptied.notify_all();
        continues
    }

    /// Waits at most `timeout` until all lines are written.
    fn end(&self, timeout: Duration) {
        let mut lines = self.lines.lock();
        lines.last = true;
        self.filled.notify_one();
        self.emptied.wait_while_for(&mut lines, |lines| !lines.ended, timeout);
    }
}

/// Installs the logger of this process and starts the thread that writes to `output`.
pub fn start(
    level: LevelFilter,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    output: Box<dyn Write + Send>,
) -> io::Result<(LogQueue, LogThread)> {
    let (queue, thread) = LogThread::start(output)?;
    let pipe = Pipe { queue: queue.clone(), timeout: ENQUEUE_TIMEOUT };
    let logger = Builder::new()
        .filter(None, LevelFilter::Trace)
        .target(Target::Pipe(Box::new(pipe)))
        .format(move |buffer, record| line_of(format, &*clock, record, buffer))
        .build();
    let level = LogLevel::new(level);
    let installed = log::set_boxed_logger(Box::new(Adjustable { logger, level: level.clone() }));
    installed.map_err(|cause| io::Error::other(format!("failed to install the logger: {cause}")))?;
    level.set(level.get());
    Ok((LogQueue { queue, level, format }, thread))
}

impl LogQueue {
    /// Appends a request line if there is space now. Request lines are the most frequent, so they bypass `log` and its
    /// logger, which would collect their fields again: with `log`, env_logger and a bounded channel instead, an answer
    /// took 40 % more instructions and a fifth more processor time, and keep-alive connections got a quarter fewer
    /// answers a second, beside nginx in turns.
    pub fn offer(&self, line: LineParts<'_, &str>) -> Taken {
        let taken = self.queue.has_room() && self.queue.put(&line.render(self.format), Duration::ZERO);
        if taken { Taken::Yes } else { Taken::No }
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

    /// Sets the level from now on. Lines below it cost only a comparison.
    pub fn set(&self, level: LevelFilter) {
        self.0.store(level as usize, Ordering::Relaxed);
        log::set_max_level(level.max(LIBRARY_LEVEL));
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= if metadata.target().starts_with(OWN_TARGET) { self.get() } else { LIBRARY_LEVEL }
    }
}

/// A logger with an adjustable level; env_logger's own filter is fixed once built.
struct Adjustable {
    logger: Logger,
    level: LogLevel,
}

impl Log for Adjustable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.level.allows(metadata)
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
    fn start(output: Box<dyn Write + Send>) -> io::Result<(Arc<Batch>, Self)> {
        let queue = Arc::new(Batch::default());
        let writing = Writing(queue.clone());
        threads::spawn("log", threads::STACK_BYTES, move || write_lines(&writing, output))?;
        Ok((queue.clone(), Self { queue }))
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.queue.end(FLUSH_TIMEOUT);
    }
}

/// Called while env_logger holds its lock: a wait here delays the log lines of all threads.
struct Pipe {
    queue: Arc<Batch>,
    /// How long the next line may wait for space: after one timeout, not at all until a line was accepted again
    timeout: Duration,
}

impl Write for Pipe {
    /// One call is one line: env_logger writes a record's buffer at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let taken = self.queue.put(line, self.timeout); // the line is lost if stderr is stuck
        self.timeout = if taken { ENQUEUE_TIMEOUT } else { Duration::ZERO };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the queue in batches until the end. A closed stderr loses lines and has no other effect.
fn write_lines(writing: &Writing, mut output: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    while writing.0.take(&mut batch) {
        let written = batch.len();
        write(&batch, &mut output);
        batch.clear();
        if batch.capacity() > RETAINED_BYTES && written < RETAINED_BYTES {
            batch = Vec::new();
        }
        // Collects lines meanwhile: one write and one wake-up for many of them.
        park_timeout(BATCH_PAUSE);
    }
    write(&batch, &mut output);
}

/// Writes all bytes. If another process has made stderr non-blocking, `write_all` would fail on a full pipe and lose
/// the rest in the middle of a line.
fn write(mut rest: &[u8], output: &mut impl Write) {
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => return,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => park_timeout(BATCH_PAUSE),
            Err(_) => return,
        }
    }
    let _ = output.flush();
}

fn line_of(format: LogFormat, clock: &dyn Clock, record: &Record<'_>, out: &mut impl Write) -> io::Result<()> {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let mut fields = RecordFields(Vec::new());
    let _ = record.key_values().visit(&mut fields); // collecting can't fail
    let fields: Vec<(&Key<'_>, FieldValue<'_>)> = fields.0.iter().map(|(key, value)| (key, value.field())).collect();
    let line =
        LineParts { at: clock.now().wall, level, message: MessageText::Formatted(*record.args()), fields: &fields };
    out.write_all(&line.render(format))
}

/// The fields of a record, sorted by name.
struct RecordFields<'kvs>(Vec<(Key<'kvs>, RecordValue<'kvs>)>);

enum RecordValue<'kvs> {
    Text(Cow<'kvs, str>),
    Whole(i64),
    Number(f64),
}

impl<'kvs> VisitSource<'kvs> for RecordFields<'kvs> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = if let Some(text) = value.to_borrowed_str() {
            RecordValue::Text(text.into())
        } else if let Some(whole) = value.to_i64() {
            RecordValue::Whole(whole)
        } else if let Some(number) = value.to_f64() {
            RecordValue::Number(number)
        } else {
            RecordValue::Text(value.to_string().into())
        };
        let place = self.0.partition_point(|(known, _)| *known <= key);
        self.0.insert(place, (key, value));
        Ok(())
    }
}

impl RecordValue<'_> {
    fn field(&self) -> FieldValue<'_> {
        match self {
            Self::Text(text) => FieldValue::Text(text),
            Self::Whole(number) => FieldValue::Whole(*number),
            Self::Number(number) => FieldValue::Number(*number),
        }
    }
}

/// Prefix of the log targets of the agent's own lines.
const OWN_TARGET: &str = "kube2iam";
/// Log level of libraries.
const LIBRARY_LEVEL: LevelFilter = LevelFilter::Warn;
/// Bytes; about a thousand request lines.
const QUEUE_BYTES: usize = 256 * 1_024;
/// Bytes of a buffer that are kept after a burst; there are two buffers.
const RETAINED_BYTES: usize = 32 * 1_024;
/// Pause of the log thread between two batches.
const BATCH_PAUSE: Duration = Duration::from_millis(5);
/// How long a line other than a request line waits for space.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the exit waits for the reader of stderr; a live reader needs much less.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
