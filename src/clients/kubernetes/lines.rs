//! Reads the lines of a watch as they arrive, keeping only the fields that are used.

use std::io::Read;

use ureq::{Body, BodyReader};

use super::unavailable;
use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Frame, KubernetesFailure, KubernetesFailureKind, LineReader, Resource, WatchLine, one_line,
};
use crate::ports::WatchLines;

/// An open watch. Dropping it closes its connection.
pub(super) struct WatchStream {
    body: BodyReader<'static>,
    resource: Resource,
    reader: LineReader,
    buffer: Box<[u8]>,
    /// The unparsed part of `buffer`
    start: usize,
    end: usize,
    /// A line exceeded the limit.
    is_endless: bool,
}

impl WatchStream {
    pub(super) fn new(body: Body, resource: Resource, keys: &AnnotationKeys) -> Self {
        let (body, reader) = (body.into_reader(), LineReader::new(resource, keys));
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { body, resource, reader, buffer, start: 0, end: 0, is_endless: false }
    }

    /// Reads available bytes; 0 at the end of the body.
    fn fill(&mut self) -> Result<usize, KubernetesFailure> {
        let read = self.body.read(&mut self.buffer).map_err(|error| self.broken(&error.to_string()))?;
        (self.start, self.end) = (0, read);
        Ok(read)
    }

    fn broken(&self, cause: &str) -> KubernetesFailure {
        unavailable(format!("failed to read watch of `{}`: {}", self.resource, one_line(cause)))
    }
}

impl WatchLines for WatchStream {
    fn next_line(&mut self) -> Result<Option<Frame>, KubernetesFailure> {
        loop {
            if self.is_endless {
                return Err(KubernetesFailure {
                    kind: KubernetesFailureKind::Refused,
                    ..self.broken("a line doesn't end")
                });
            }
            match self.reader.push(&self.buffer[self.start..self.end]) {
                WatchLine::Line(frame, length) => {
                    self.start += length;
                    return Ok(Some(frame));
                }
                WatchLine::Endless(frame) => {
                    self.is_endless = true;
                    return Ok(Some(frame));
                }
                WatchLine::More => self.start = self.end,
            }
            if self.fill()? == 0 {
                if let Some(frame) = self.reader.end() {
                    return Ok(Some(frame));
                }
                return if self.reader.is_between_lines() { Ok(None) } else { Err(self.broken("ended within a line")) };
            }
        }
    }
}

const READ_BYTES: usize = 16 * 1024;
