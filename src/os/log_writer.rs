//! The way of log lines to stderr: rendered where they arise, laid into a bounded tray, written in batches by one
//! thread. The tray is one buffer of bytes: a channel would cost every line an allocation that another thread frees.
//!
//! Lines of requests are dropped and counted while the tray is full, see [`LogQueue::offer`];
//! all others wait for a place, though not for ever: a reader that is stuck must not stop the agent.

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
    tray: Arc<Batch>,
    level: LogLevel,
    format: LogFormat,
}

/// How much the agent says; may change at any time. What its libraries say stays at `warn`.
#[derive(Clone)]
pub struct LogLevel(Arc<AtomicUsize>);

/// Ends the log thread once everything is written, or can't be.
pub struct LogThread {
    tray: Arc<Batch>,
}

/// Lines on their way to the log thread.
#[derive(Default)]
struct Batch {
    lines: Mutex<LineBuffer>,
    /// There is something to write, or the end has come.
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    last: bool,
    /// Nobody writes any more.
    ended: bool,
}

/// Held by the log thread; dropped when it ends, in whatever way.
struct Writing(Arc<Batch>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lines.lock().ended = true;
        self.0.emptied.notify_all();
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.lines.lock().bytes.len() < TRAY_BYTES
    }

    /// Takes a line; waits for room if need be. False: there was none in time, and the line is lost.
    fn put(&self, line: &[u8], patience: Duration) -> bool {
        let mut lines = self.lines.lock();
        if lines.bytes.len() >= TRAY_BYTES {
            self.emptied.wait_while_for(&mut lines, |lines| lines.bytes.len() >= TRAY_BYTES, patience);
            if lines.bytes.len() >= TRAY_BYTES {
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

    /// Waits for lines and changes `batch`, which is empty, for them. False: these are the last.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut lines = self.lines.lock();
        self.filled.wait_while(&mut lines, |lines| lines.bytes.is_empty() && !lines.last);
        std::mem::swap(&mut lines.bytes, batch);
        let goes_on = !lines.last;
        drop(lines);
        self.emptied.notify_all();
        goes_on
    }

    /// Waits until all is written, at most for `patience`.
    fn end(&self, patience: Duration) {
        let mut lines = self.lines.lock();
        lines.last = true;
        self.filled.notify_one();
        self.emptied.wait_while_for(&mut lines, |lines| !lines.ended, patience);
    }
}

/// Installs the logger of this process and starts the thread that writes to `output`.
pub fn start(
    level: LevelFilter,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    output: Box<dyn Write + Send>,
) -> io::Result<(LogQueue, LogThread)> {
    let (tray, thread) = LogThread::start(output)?;
    let pipe = Pipe { tray: tray.clone(), patience: LONGEST_WAIT };
    let logger = Builder::new()
        .filter(None, LevelFilter::Trace)
        .target(Target::Pipe(Box::new(pipe)))
        .format(move |buffer, record| line_of(format, &*clock, record, buffer))
        .build();
    let level = LogLevel::new(level);
    let installed = log::set_boxed_logger(Box::new(Adjustable { logger, level: level.clone() }));
    installed.map_err(|cause| io::Error::other(format!("failed to install the logger: {cause}")))?;
    level.set(level.get());
    Ok((LogQueue { tray, level, format }, thread))
}

impl LogQueue {
    /// Takes a line of a request if there is room at once. These lines are the ones that cost: they don't pass through
    /// `log` and its logger, which would collect and sort their fields anew.
    pub fn offer(&self, line: LineParts<'_, &str>) -> Taken {
        let taken = self.tray.has_room() && self.tray.put(&line.render(self.format), Duration::ZERO);
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
    fn start(output: Box<dyn Write + Send>) -> io::Result<(Arc<Batch>, Self)> {
        let tray = Arc::new(Batch::default());
        let writing = Writing(tray.clone());
        threads::spawn("log", threads::STACK_BYTES, move || write_lines(&writing, output))?;
        Ok((tray.clone(), Self { tray }))
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.tray.end(LAST_WAIT);
    }
}

/// Writes while env_logger holds its lock: what waits here holds up everybody's lines.
struct Pipe {
    tray: Arc<Batch>,
    /// How long the next line may wait: once, then not at all until the reader has moved
    patience: Duration,
}

impl Write for Pipe {
    /// One call is one line: env_logger writes a record's buffer at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let taken = self.tray.put(line, self.patience); // lost if stderr is stuck
        self.patience = if taken { LONGEST_WAIT } else { Duration::ZERO };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is there in one go, then waits for more. A closed stderr loses lines and nothing else.
fn write_lines(writing: &Writing, mut output: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    while writing.0.take(&mut batch) {
        let written = batch.len();
        write(&batch, &mut output);
        batch.clear();
        if batch.capacity() > KEPT_BYTES && written < KEPT_BYTES {
            batch = Vec::new();
        }
        // Lines gather while nobody listens: one write and one wake-up for many of them.
        park_timeout(GATHERING);
    }
    write(&batch, &mut output);
}

/// Writes all of it. Where another process has made stderr non-blocking, a full pipe is an error to `write_all`, which
/// loses the rest in the midst of a line.
fn write(mut rest: &[u8], output: &mut impl Write) {
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => return,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => park_timeout(GATHERING),
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

/// The fields of a record, by name.
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

/// What the targets of the agent's own lines begin with.
const OWN: &str = "kube2iam";
/// What is heard of libraries.
const OTHERS: LevelFilter = LevelFilter::Warn;
/// What may wait for the log thread: about a thousand lines of requests.
const TRAY_BYTES: usize = 256 * 1_024;
/// How much of a buffer outlives a crowd; there are two of them.
const KEPT_BYTES: usize = 32 * 1_024;
/// How long the log thread rests between two batches.
const GATHERING: Duration = Duration::from_millis(5);
/// How long a line that matters waits for a place.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the end waits for a reader of the log: what is to be read is read in a moment.
const LAST_WAIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
