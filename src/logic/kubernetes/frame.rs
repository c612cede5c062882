//! A line of a watch (API concepts, "Efficient detection of changes"): `{"type": ..., "object": ...}`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::object;
use super::{AnnotationKeys, Frame, Resource};
use crate::logic::json;

/// Reads one line of a watch.
pub fn frame(line: &[u8], resource: Resource, keys: &AnnotationKeys) -> Frame {
    understood(line, resource, keys).unwrap_or_else(|error| Frame::Unreadable(one_line(&error.to_string())))
}

/// The API server's own word on a failure (`kind: Status`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    pub code: i64,
    pub reason: String,
    pub message: String,
}

impl Status {
    /// The version or the continue token is too old; `Gone` is what old servers say.
    pub fn is_gone(&self) -> bool {
        self.code == 410 || matches!(&*self.reason, "Expired" | "Gone")
    }
}

/// Reads a `Status`, if it is one.
pub fn status(bytes: &[u8]) -> Option<Status> {
    json::read(bytes).ok()
}

/// Text from outside, fit for one line of a log: no control characters, not long.
pub fn one_line(text: &str) -> String {
    text.chars().take(CAUSE_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn understood(line: &[u8], resource: Resource, keys: &AnnotationKeys) -> Result<Frame, serde_json::Error> {
    let line: LineJson<'_> = json::read(line)?;
    let changed = || object(line.object.get(), resource, keys);
    Ok(match &*line.kind {
        "ADDED" => changed().map(|(object, version)| Frame::Added(object, version))?,
        "MODIFIED" => changed().map(|(object, version)| Frame::Modified(object, version))?,
        "DELETED" => changed().map(|(object, version)| Frame::Deleted(object, version))?,
        "BOOKMARK" => {
            let BookmarkJson { metadata } = serde_json::from_str(line.object.get())?;
            match metadata.resource_version {
                version if version.is_empty() => Frame::Unreadable("a bookmark without a version".to_owned()),
                version => Frame::Bookmark(version),
            }
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(line.object.get())?;
            let message = one_line(&status.message);
            if status.is_gone() { Frame::Gone(message) } else { Frame::Failed(message) }
        }
        kind => Frame::Unreadable(one_line(&format!("unknown type `{kind}`"))),
    })
}

#[derive(Deserialize)]
struct LineJson<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct BookmarkJson {
    metadata: BookmarkMetadataJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadataJson {
    resource_version: String,
}

/// Enough for the API server's longest usual message.
const CAUSE_CHARACTERS: usize = 400;

#[cfg(test)]
mod tests;
