//! Composes an answer's head in a buffer that is reused, and sends it with its body.

use super::CutReason;
use super::reply::{Framing, RequestFacts, in_memory, write_head};
use super::timed_writer::{Pieces, TimedWriter};
use super::wire::Afterwards;
use crate::logic::base::time::Wall;
use crate::logic::request::message::{Body, Response};

pub(super) struct ResponseWriter {
    head: Vec<u8>,
    date: String,
    second: Option<i64>,
}

impl ResponseWriter {
    pub(super) fn new() -> Self {
        Self { head: Vec::with_capacity(USUAL_HEAD), date: String::new(), second: None }
    }

    /// Sends a whole answer; returns whether another one may follow.
    pub(super) fn deliver(
        &mut self,
        mut out: TimedWriter<'_>,
        response: Response,
        asked: RequestFacts,
        wish: Afterwards,
        now: Wall,
    ) -> Result<Afterwards, CutReason> {
        let framing = Framing::of(&response, asked.version);
        let afterwards = if framing == Framing::UntilClose { Afterwards::Close } else { wish };
        self.compose(&response, framing, asked, afterwards, now);
        match (response.body, framing) {
            (_, Framing::Bodiless) => out.send([&self.head])?,
            _ if asked.head_only() => out.send([&self.head])?,
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
        Ok(afterwards)
    }

    fn compose(
        &mut self,
        response: &Response,
        framing: Framing,
        asked: RequestFacts,
        afterwards: Afterwards,
        now: Wall,
    ) {
        self.keep_date(now);
        self.head.clear();
        write_head(&mut self.head, response, framing, asked, afterwards, &self.date);
    }

    /// A `Date` is good for its second.
    fn keep_date(&mut self, now: Wall) {
        let second = now.unix_seconds();
        if self.second != Some(second) {
            self.second = Some(second);
            self.date = now.http_date();
        }
    }
}

/// Bytes reserved for a head; enough for all but unusually long ones.
const USUAL_HEAD: usize = 512;
