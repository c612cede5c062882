//! A watch from its first line to its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::exchange::{Exchange, Stream};
use super::answer::{Query, headers};
use super::objects::{Kind, status_json};
use super::{Break, Shared};

/// A watch that is open, as the test's side sees it.
pub struct Open {
    id: u64,
    pub kind: Kind,
    pub commands: VecDeque<Command>,
}

#[derive(Clone, Copy)]
pub enum Command {
    Bookmark,
    Break(Break),
}

/// What there is to do next.
enum Step {
    Lines(Vec<String>),
    Break(Break),
    /// The history was compacted past this watch.
    Gone(String),
    TimeIsUp(u64),
    Idle,
}

pub fn serve(shared: &Shared, exchange: Exchange, query: &Query) {
    let mut stream = exchange.stream(&stream_headers());
    let mut watch = Watch::open(shared, query);
    loop {
        match watch.next() {
            Step::Lines(lines) => {
                for line in lines {
                    if stream.send(line.as_bytes()).is_err() {
                        return;
                    }
                }
            }
            Step::Idle if stream.is_open() => {}
            Step::Idle => return,
            Step::Gone(message) => {
                let _ = stream.send(error_line(410, "Expired", &message).as_bytes());
                return stream.end();
            }
            Step::TimeIsUp(version) => {
                if query.says("allowWatchBookmarks") {
                    let _ = stream.send(bookmark_line(query.kind, version).as_bytes());
                }
                return stream.end();
            }
            Step::Break(Break::Garbage) => {
                let _ = stream.send(b"]]{ no JSON at all\n");
            }
            Step::Break(how) => {
                drop(watch);
                return break_off(stream, how);
            }
        }
    }
}

/// One watch, taken off the list of open ones when it ends.
struct Watch<'a> {
    shared: &'a Shared,
    query: &'a Query,
    id: u64,
    /// All up to here has been sent.
    cursor: u64,
    deadline: Instant,
    /// What a watch without a version begins with: the objects there are, then the mark that these were all.
    first: Vec<String>,
}

impl<'a> Watch<'a> {
    fn open(shared: &'a Shared, query: &'a Query) -> Self {
        let mut state = shared.state.lock();
        state.watches_born += 1;
        let id = state.watches_born;
        state.watches.push(Open { id, kind: query.kind, commands: VecDeque::new() });
        let asked = query.parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let seconds = query.parameter("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(LONGEST_S);
        let (mut cursor, mut first) = (asked, Vec::new());
        if asked == 0 || query.says("sendInitialEvents") {
            let page = state.model.list(query.kind, &query.selector, usize::MAX);
            cursor = page.version;
            first = page.items.into_iter().map(|object| line("ADDED", query.kind, object)).collect();
            if query.says("sendInitialEvents") {
                let mark = json!({"metadata": {
                    "resourceVersion": cursor.to_string(), "annotations": {"k8s.io/initial-events-end": "true"},
                }});
                first.push(line("BOOKMARK", query.kind, mark));
            }
        }
        drop(state);
        shared.changed.notify_all();
        Self { shared, query, id, cursor, deadline: Instant::now() + Duration::from_secs(seconds), first }
    }

    fn next(&mut self) -> Step {
        if !self.first.is_empty() {
            return Step::Lines(std::mem::take(&mut self.first));
        }
        let mut state = self.shared.state.lock();
        let Ok(news) = state.model.changes_after(self.query.kind, &self.query.selector, self.cursor) else {
            return Step::Gone(state.model.too_old(self.cursor));
        };
        self.cursor = news.version;
        if !news.events.is_empty() {
            let lines = news.events.into_iter().map(|(verb, object)| line(verb, self.query.kind, object));
            return Step::Lines(lines.collect());
        }
        let open = state.watches.iter_mut().find(|open| open.id == self.id);
        match open.and_then(|open| open.commands.pop_front()) {
            Some(Command::Bookmark) => return Step::Lines(vec![bookmark_line(self.query.kind, self.cursor)]),
            Some(Command::Break(how)) => return Step::Break(how),
            None => {}
        }
        if Instant::now() >= self.deadline {
            return Step::TimeIsUp(self.cursor);
        }
        self.shared.changed.wait_for(&mut state, TICK);
        Step::Idle
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().watches.retain(|open| open.id != self.id);
        self.shared.changed.notify_all();
    }
}

fn break_off(mut stream: Stream, how: Break) {
    match how {
        Break::End => stream.end(),
        Break::Close | Break::Garbage => stream.close(),
        Break::Stall => stream.hang(),
        Break::HalfLine => {
            let _ = stream.send(b"{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"ha");
            stream.close();
        }
        Break::Endless { bytes } => {
            let _ = stream.send(b"{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"x\":\"");
            let part = [b'x'; PART];
            let whole = (0..bytes.div_ceil(PART)).all(|_| stream.send(&part).is_ok());
            if whole { stream.hang() } else { stream.close() }
        }
        Break::Gone => {
            let _ = stream.send(error_line(410, "Expired", "too old resource version: 1 (2)").as_bytes());
            stream.end();
        }
        Break::Failed => {
            let _ = stream.send(error_line(500, "InternalError", "etcdserver: leader changed").as_bytes());
            stream.end();
        }
    }
}

fn line(verb: &str, kind: Kind, mut object: Value) -> String {
    object["kind"] = json!(kind.name());
    object["apiVersion"] = json!("v1");
    format!("{{\"type\":\"{verb}\",\"object\":{object}}}\n")
}

fn bookmark_line(kind: Kind, version: u64) -> String {
    line("BOOKMARK", kind, json!({"metadata": {"resourceVersion": version.to_string()}, "status": {}}))
}

fn error_line(code: u16, reason: &str, message: &str) -> String {
    format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status_json(code, reason, message))
}

fn stream_headers() -> Vec<(&'static str, String)> {
    let mut all = vec![("Content-Type", "application/json".to_owned())];
    all.extend(headers());
    all
}

/// How soon a client that went away is noticed.
const TICK: Duration = Duration::from_millis(100);
/// A watch without `timeoutSeconds` ends after half an hour at the least; no test lasts that long.
const LONGEST_S: u64 = 1800;
const PART: usize = 16 * 1024;
