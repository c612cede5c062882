//! The lines of a watch, one at a time, none longer than [`LINE_BYTES`].

use std::io::Read;

use ureq::{Body, BodyReader};

use super::unavailable;
use crate::logic::kubernetes::{KubernetesFailure, Resource, one_line};
use crate::ports::{WatchLine, WatchLines};

/// An open watch. Dropping it closes its connection.
pub(super) struct Lines {
    body: BodyReader<'static>,
    resource: Resource,
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    start: usize,
    /// Up to here there is no further line end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(body: Body, resource: Resource) -> Self {
        Self { body: body.into_reader(), resource, buffer: Vec::new(), start: 0, searched: 0 }
    }

    /// The end of the line that begins at `start`, if it is in the buffer.
    fn line_end(&mut self) -> Option<usize> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let end = found.map(|offset| self.searched + offset);
        self.searched = end.map_or(self.buffer.len(), |end| end + 1);
        end
    }

    /// Reads what has come; nothing: the body has ended.
    fn fill(&mut self) -> Result<usize, KubernetesFailure> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEPT_BYTES);
        }
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = self.body.read(&mut self.buffer[held..]);
        self.buffer.truncate(held + read.as_ref().map_or(0, |read| *read));
        read.map_err(|error| self.broken(&error.to_string()))
    }

    fn broken(&self, cause: &str) -> KubernetesFailure {
        unavailable(format!("failed to read watch of `{}`: {}", self.resource, one_line(cause)))
    }
}

impl WatchLines for Lines {
    fn next_line(&mut self) -> Result<Option<WatchLine<'_>>, KubernetesFailure> {
        let end = loop {
            match self.line_end() {
                Some(end) if end == self.start => self.start += 1,
                Some(end) => break end,
                None if self.buffer.len() - self.start > LINE_BYTES => return Ok(Some(WatchLine::TooLong)),
                None if self.fill()? > 0 => {}
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.broken("ended within a line")),
            }
        };
        let line = self.start..end;
        self.start = end + 1;
        Ok(Some(WatchLine::Whole(&self.buffer[line])))
    }
}

/// etcd keeps objects of 1.5 MiB at most; as JSON with all its escapes one stays below this.
pub(super) const LINE_BYTES: usize = 4 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// What an idle watch holds on to after a long line.
const KEPT_BYTES: usize = 32 * 1024;
