//! Composes a response head in a reused buffer, and sends it with its body.

use super::CutReason;
use super::reply::{Framing, RequestFacts, in_memory, write_head};
use super::timed_writer::{Pieces, TimedWriter};
use super::wire::Persistence;
use crate::logic::base::time::Wall;
use crate::logic::request::message::{Body, Response};

pub(super) struct ResponseWriter {
    head: Vec<u8>,
    date: String,
    second: Option<i64>,
}

impl ResponseWriter {
    pub(super) fn new() -> Self {
        Self { head: Vec::with_capacity(HEAD_CAPACITY), date: String::new(), second: None }
    }

    /// Sends a complete response; returns whether another may follow.
    pub(super) fn deliver(
        &mut self,
        mut out: TimedWriter<'_>,
        response: Response,
        facts: RequestFacts,
        requested: Persistence,
        now: Wall,
    ) -> Result<Persistence, CutReason> {
        let framing = Framing::of(&response, facts.version);
        let persistence = if framing == Framing::UntilClose { Persistence::Close } else { requested };
        self.compose(&response, framing, facts, persistence, now);
        match (response.body, framing) {
            (_, Framing::Bodiless) => out.send([&self.head])?,
            _ if facts.head_only() => out.send([&self.head])?,
            (Body::Stream { mut source, .. }, Framing::Length(length)) => {
                out.relay(&self.head, &mut *source, Some(length), Pieces::Plain)?;
            }
            (Body::Stream { mut source, .. }, Framing::Chunked) => {
                out.relay(&self.head, &mut *source, None, Pieces::Chunks)?;
            }
            (Body::Stream { mut source, .. }, Framing::UntilClose) => {
                out.relay(&self.head, &mut *source, None, Pieces::Plain)?;
            }
            (body, _) => out.send([&self.head, in_memory(&body)])?,
        }
        Ok(persistence)
    }

    fn compose(
        &mut self,
        response: &Response,
        framing: Framing,
        facts: RequestFacts,
        persistence: Persistence,
        now: Wall,
    ) {
        self.update_date(now);
        self.head.clear();
        write_head(&mut self.head, response, framing, facts, persistence, &self.date);
    }

    /// Formats the `Date` anew only when the second has changed.
    fn update_date(&mut self, now: Wall) {
        let second = now.unix_seconds();
        if self.second != Some(second) {
            self.second = Some(second);
            self.date = now.http_date();
        }
    }
}

/// Bytes reserved for a head; enough unless it is unusually long.
const HEAD_CAPACITY: usize = 512;
