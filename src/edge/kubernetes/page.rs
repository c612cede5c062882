//! A page of a list, read while it comes: one item in memory at a time, none longer than a line of a watch may be.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use serde::de::DeserializeSeed;
use ureq::Body;
use ureq::http::Response;

use super::lines::LINE_BYTES;
use super::unavailable;
use crate::logic::kubernetes::{AnnotationKeys, KubernetesFailure, ListSeed, Object, Page, Resource, one_line};

/// Reads the whole body, so that its connection can be used again.
pub(super) fn read(
    response: Response<Body>,
    resource: Resource,
    keys: &AnnotationKeys,
    each: &mut dyn FnMut(Object),
) -> Result<Page, KubernetesFailure> {
    let left = Cell::new(LINE_BYTES);
    let mut each = |item: Result<Object, serde_json::Error>| {
        left.set(LINE_BYTES);
        item.into_iter().for_each(&mut *each);
    };
    let body = response.into_body().into_with_config().limit(PAGE_BYTES).reader();
    let reader = BufReader::with_capacity(READ_BYTES, ItemBound { body, left: &left });
    let mut json = serde_json::Deserializer::from_reader(reader);
    ListSeed { resource, keys, each: &mut each }
        .deserialize(&mut json)
        .and_then(|page| json.end().map(|()| page))
        .map_err(|error| unavailable(one_line(&error.to_string())))
}

/// Gives up when too much was read since the last item was whole.
struct ItemBound<'a, R> {
    body: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for ItemBound<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other(format!("an item exceeds {LINE_BYTES} bytes")));
        }
        let read = self.body.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

/// A server that ignores the limit of 500 may send 50,000 pods at once. None of it is held.
const PAGE_BYTES: u64 = 1024 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
