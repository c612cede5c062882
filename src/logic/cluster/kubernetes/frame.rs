//! A line of a watch (API concepts, "Efficient detection of changes"): `{"type": ..., "object": ...}`. It is parsed
//! while it is received; a malformed line is skipped to its end.

use memchr::memchr;
use serde::Deserialize;

use super::list::{ENDLESS, NO_END};
use super::object::{read, wanted};
use super::scan::{Field, ObjectScope, Scanner};
use super::{AnnotationKeys, Frame, Object, Resource, ResourceVersion};
use crate::logic::base::json;

/// Parses the lines of a watch.
pub struct LineReader {
    scanner: Scanner,
    resource: Resource,
    /// Why the current line is malformed
    fault: Option<String>,
}

/// The result of a received piece.
#[derive(Debug)]
pub enum WatchLine {
    /// A line, which ends at this offset in the piece
    Line(Frame, usize),
    /// The line isn't complete yet
    More,
    /// The line exceeds the limit: the watch is unusable
    Endless(Frame),
}

impl LineReader {
    pub fn new(resource: Resource, keys: &AnnotationKeys) -> Self {
        Self { scanner: Scanner::new(ObjectScope::Line, &wanted(resource, keys)), resource, fault: None }
    }

    /// Processes a piece up to the end of a line. Empty lines are skipped.
    pub fn push(&mut self, piece: &[u8]) -> WatchLine {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &piece[start..]) {
            let end = start + length;
            self.take(&piece[start..end]);
            start = end + 1;
            if !self.is_between_lines() {
                return WatchLine::Line(self.end_line(), start);
            }
        }
        self.take(&piece[start..]);
        if self.scanner.record().bytes <= ENDLESS {
            return WatchLine::More;
        }
        self.fault = Some(NO_END.to_owned());
        WatchLine::Endless(self.end_line())
    }

    /// Whether the previous line is complete.
    pub fn is_between_lines(&self) -> bool {
        self.scanner.is_fresh() && self.fault.is_none()
    }

    /// After the last piece: the frame of a malformed line without an end.
    pub fn end(&mut self) -> Option<Frame> {
        self.fault.is_some().then(|| self.end_line())
    }

    fn take(&mut self, mut bytes: &[u8]) {
        use super::scan::Progress;
        while self.fault.is_none() {
            match self.scanner.push(bytes) {
                Ok(Progress::More) => return,
                Ok(Progress::Item(end) | Progress::Whole(end)) => bytes = &bytes[end..],
                Err(why) => self.fault = Some(why),
            }
        }
        self.scanner.record().bytes += bytes.len() as u64;
    }

    fn end_line(&mut self) -> Frame {
        let frame = match self.fault.take() {
            None if !self.scanner.is_whole() => Err("it ends too early".to_owned()),
            None => self.understood(),
            Some(why) => Err(why),
        };
        let resource = self.resource;
        let frame = frame.unwrap_or_else(|why| {
            let record = self.scanner.record();
            let version = record.required(Field::Version).ok();
            Frame::Unreadable(record.unreadable(resource, &why), version)
        });
        self.scanner.restart();
        frame
    }

    fn understood(&mut self) -> Result<Frame, String> {
        let resource = self.resource;
        let record = self.scanner.record();
        let change = |frame: fn(Object, ResourceVersion) -> Frame| {
            read(record, resource).map(|(object, version)| frame(object, version))
        };
        match &*record.required(Field::Type)? {
            "ADDED" => change(Frame::Added),
            "MODIFIED" => change(Frame::Modified),
            "DELETED" => change(Frame::Deleted),
            "BOOKMARK" => record.check().and_then(|()| record.required(Field::Version)).map(Frame::Bookmark),
            "ERROR" => {
                let status = ApiStatus {
                    code: record.read(Field::Code)?.unwrap_or_default(),
                    reason: record.text(Field::Reason)?,
                    message: record.text(Field::Message)?,
                };
                let message = one_line(&status.message);
                Ok(if status.is_gone() { Frame::Gone(message) } else { Frame::Failed(message) })
            }
            kind => Err(format!("unknown type `{kind}`")),
        }
    }
}

/// Parses one complete line of a watch.
pub fn frame(line: &[u8], resource: Resource, keys: &AnnotationKeys) -> Frame {
    let mut reader = LineReader::new(resource, keys);
    reader.take(line);
    reader.end_line()
}

/// The API server's `Status` object for a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiStatus {
    pub code: i64,
    pub reason: String,
    pub message: String,
}

impl ApiStatus {
    /// The version or the continue token is too old. Old servers use the reason `Gone`.
    pub fn is_gone(&self) -> bool {
        self.code == 410 || matches!(&*self.reason, "Expired" | "Gone")
    }
}

/// Parses a `Status` object, if it is one.
pub fn status(bytes: &[u8]) -> Option<ApiStatus> {
    json::read(bytes).ok()
}

/// External text on one line for the log: control characters replaced, and truncated.
pub fn one_line(text: &str) -> String {
    text.chars().take(CAUSE_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Fits the API server's longest usual message.
const CAUSE_CHARACTERS: usize = 400;

#[cfg(test)]
mod tests;
