//! Forwards requests to the metadata service, limited per peer: one pod must not take all slots.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Answer, Service};
use crate::logic::policy::reason::Reason;
use crate::logic::request::message::{Body, Method, Request, Response};
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::route::{self, IamEntry, Route};
use crate::ports::Forwarded;

/// The number of forwards in progress, by peer.
#[derive(Clone, Debug, Default)]
pub struct Forwards(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A peer's slot for a forward, released on drop.
#[derive(Debug)]
pub(super) struct ForwardSlot {
    of: Forwards,
    peer: IpAddr,
}

impl Forwards {
    /// A slot for another forward; `None` if the peer is at its limit.
    pub(super) fn begin(&self, peer: IpAddr) -> Option<ForwardSlot> {
        let mut under_way = self.0.lock();
        let count = under_way.entry(peer).or_default();
        if *count >= PER_PEER {
            return None;
        }
        *count += 1;
        Some(ForwardSlot { of: self.clone(), peer })
    }
}

impl ForwardSlot {
    /// Holds the slot until a streamed body has been read.
    pub(super) fn until_read(self, response: Response) -> Response {
        match response.body {
            Body::Stream { source, length } => {
                let source = Box::new(StreamWithSlot { source, _slot: self });
                Response { body: Body::Stream { source, length }, ..response }
            }
            _ => response,
        }
    }
}

impl Drop for ForwardSlot {
    fn drop(&mut self) {
        let mut under_way = self.of.0.lock();
        if let Some(count) = under_way.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.peer);
            }
        }
    }
}

struct StreamWithSlot {
    source: Box<dyn Read + Send>,
    _slot: ForwardSlot,
}

impl Read for StreamWithSlot {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

/// Per peer, of the 16 concurrent calls to the metadata service. SDKs read sequentially.
const PER_PEER: usize = 4;

impl Service {
    pub(super) fn forward(&self, request: &Request<'_>, route: &Route, path: &CanonicalPath, peer: IpAddr) -> Answer {
        let method = if request.method == Method::Head { Forwarded::Head } else { Forwarded::Get };
        let Some(slot) = self.forwards.begin(peer) else { return Answer::refuse(Reason::Busy, route) };
        match self.imds.forward(method, path, request.headers.accept) {
            Ok(response) => Answer::ok(slot.until_read(response)),
            Err(failure) => Answer::refuse_because(Reason::MetadataUnavailable, route, failure.cause),
        }
    }

    /// Fetches a listing and removes entries that pods can't access. HEAD fetches it too, since the filtered length
    /// differs.
    pub(super) fn list(
        &self,
        request: &Request<'_>,
        route: &Route,
        path: &CanonicalPath,
        iam: IamEntry,
        peer: IpAddr,
    ) -> Answer {
        let Some(_slot) = self.forwards.begin(peer) else { return Answer::refuse(Reason::Busy, route) };
        let fetched = match self.imds.forward(Forwarded::Get, path, request.headers.accept) {
            Ok(fetched) if fetched.status == 200 => fetched,
            Ok(other) => return Answer::ok(other),
            Err(failure) => return Answer::refuse_because(Reason::MetadataUnavailable, route, failure.cause),
        };
        match fetched.body.into_text() {
            Ok(listing) => {
                let shown = route::filter_listing(path, &listing, iam, &self.routes);
                Answer::ok(Response { body: Body::Owned(shown.into_bytes()), ..fetched })
            }
            Err(cause) => Answer::refuse_because(Reason::MetadataUnavailable, route, cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
