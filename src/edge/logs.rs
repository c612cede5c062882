//! The way of log lines to stderr: rendered where they arise, handed over through a bounded channel,
//! written in batches by one thread.
//!
//! Lines of requests are dropped and counted while the channel is full, see [`LogQueue::has_room`];
//! all others wait for a place, though not for ever: a reader that is stuck must not stop the agent.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use env_logger::{Builder, Logger, Target};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::threads;
use crate::logic::log_line::{Field, LogFormat, render};
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

/// Ends the log thread once everything is written.
pub struct LogThread {
    lines: Sender<Message>,
    thread: Option<JoinHandle<()>>,
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
    let (lines, queue) = bounded(QUEUE_LINES);
    let thread = threads::spawn("log", threads::STACK_BYTES, move || write_lines(&queue, output))?;
    let pipe = Pipe { lines: lines.clone() };
    let logger = Builder::new()
        .filter(None, LevelFilter::Trace)
        .target(Target::Pipe(Box::new(pipe)))
        .format(move |buffer, record| buffer.write_all(line_of(format, &*clock, record).as_bytes()))
        .build();
    let level = LogLevel::new(level);
    let installed = log::set_boxed_logger(Box::new(Adjustable { logger, level: level.clone() }));
    installed.map_err(|cause| io::Error::other(format!("failed to install the logger: {cause}")))?;
    level.set(level.get());
    Ok((LogQueue { lines: lines.clone(), level }, LogThread { lines, thread: Some(thread) }))
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

impl Drop for LogThread {
    fn drop(&mut self) {
        let sent = self.lines.send_timeout(Message::End, LONGEST_WAIT);
        if let (Ok(()), Some(thread)) = (sent, self.thread.take()) {
            let _ = thread.join(); // it has nothing to say
        }
    }
}

struct Pipe {
    lines: Sender<Message>,
}

impl Write for Pipe {
    /// One call is one line: env_logger writes a record's buffer at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.lines.send_timeout(Message::Line(line.to_vec()), LONGEST_WAIT); // lost if stderr is stuck
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
    let mut fields = Fields(Vec::new());
    let _ = record.key_values().visit(&mut fields); // collecting can't fail
    render(format, clock.now().wall, level, &record.args().to_string(), &fields.0)
}

/// The fields of a record; an empty text says nothing and is left out.
struct Fields(Vec<(String, Field)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let field = match (value.to_i64(), value.to_f64()) {
            (Some(whole), _) => Field::Whole(whole),
            (None, Some(number)) => Field::Number(number),
            _ => Field::Text(value.to_string()),
        };
        if field != Field::Text(String::new()) {
            self.0.push((key.to_string(), field));
        }
        Ok(())
    }
}

/// What the targets of the agent's own lines begin with.
const OWN: &str = "kube2iam";
/// What is heard of libraries.
const OTHERS: LevelFilter = LevelFilter::Warn;
/// Lines that may wait for the log thread.
const QUEUE_LINES: usize = 1_024;
const BATCH_BYTES: usize = 64 * 1_024;
/// How long a line that matters waits for a place.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

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
}
