//! Composes an answer's head in a buffer that is used again and again, and sends it with its body.

use std::io::IoSlice;

use zeroize::Zeroizing;

use super::Cut;
use super::guest::Guest;
use super::outlet::{Outlet, Pieces, offer};
use super::reply::{Asked, Framing, at_hand, write_head};
use super::wire::Afterwards;
use crate::logic::http::{Body, Response};
use crate::logic::time::Wall;

pub(super) struct Pen {
    head: Vec<u8>,
    date: String,
    second: Option<i64>,
}

impl Pen {
    pub(super) fn new() -> Self {
        Self { head: Vec::with_capacity(USUAL_HEAD), date: String::new(), second: None }
    }

    /// Sends an answer whole, and tells whether another one may follow.
    pub(super) fn deliver(
        &mut self,
        mut outlet: Outlet<'_>,
        response: Response,
        asked: Asked,
        wish: Afterwards,
        now: Wall,
    ) -> Result<Afterwards, Cut> {
        let framing = Framing::of(&response, asked.version);
        let afterwards = if framing == Framing::UntilClose { Afterwards::Close } else { wish };
        self.compose(&response, framing, asked, afterwards, now);
        match (response.body, framing) {
            (_, Framing::Bodiless) => outlet.send([&self.head])?,
            _ if asked.head_only() => outlet.send([&self.head])?,
            (Body::Stream { mut source, .. }, Framing::Length(length)) => {
                outlet.relay(&self.head, &mut *source, Some(length), Pieces::Plain)?;
            }
            (Body::Stream { mut source, .. }, Framing::Chunked) => {
                outlet.relay(&self.head, &mut *source, None, Pieces::Chunks)?;
            }
            (Body::Stream { mut source, .. }, Framing::UntilClose) => {
                outlet.relay(&self.head, &mut *source, None, Pieces::Plain)?;
            }
            (body, _) => outlet.send([&self.head, at_hand(&body)])?,
        }
        Ok(afterwards)
    }

    /// Sends as much of an answer from memory as goes out at once, and gives back the rest, which is nearly always
    /// nothing. Another one may follow.
    pub(super) fn offer(
        &mut self,
        guest: &Guest,
        response: &Response,
        asked: Asked,
        now: Wall,
    ) -> Result<Zeroizing<Vec<u8>>, Cut> {
        let framing = Framing::of(response, asked.version);
        self.compose(response, framing, asked, Afterwards::KeepAlive, now);
        let body = if framing == Framing::Bodiless || asked.head_only() { &[] } else { at_hand(&response.body) };
        let sent = offer(guest, &[IoSlice::new(&self.head), IoSlice::new(body)])?;
        if sent == self.head.len() + body.len() {
            return Ok(Zeroizing::default());
        }
        let (head, body) = (self.head.get(sent..), &body[sent.saturating_sub(self.head.len())..]);
        Ok(Zeroizing::new([head.unwrap_or_default(), body].concat()))
    }

    fn compose(&mut self, response: &Response, framing: Framing, asked: Asked, afterwards: Afterwards, now: Wall) {
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

/// Bytes set aside for a head; ours are 150 to 300.
const USUAL_HEAD: usize = 512;
