//! Requests on their way to the metadata service, so many of each peer: one pod must not take all of its places.

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

/// Forwards under way, by peer.
#[derive(Clone, Debug, Default)]
pub struct Forwards(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among them, given back when dropped.
#[derive(Debug)]
pub(super) struct ForwardPlace {
    of: Forwards,
    peer: IpAddr,
}

impl Forwards {
    /// A place for one more, if the peer may have it.
    pub(super) fn begin(&self, peer: IpAddr) -> Option<ForwardPlace> {
        let mut under_way = self.0.lock();
        let count = under_way.entry(peer).or_default();
        if *count >= PER_PEER {
            return None;
        }
        *count += 1;
        Some(ForwardPlace { of: self.clone(), peer })
    }
}

impl ForwardPlace {
    /// Keeps the place until the answer is read, where it is read while it is written.
    pub(super) fn until_read(self, response: Response) -> Response {
        match response.body {
            Body::Stream { source, length } => {
                let source = Box::new(HeldPlaces { source, _place: self });
                Response { body: Body::Stream { source, length }, ..response }
            }
            _ => response,
        }
    }
}

impl Drop for ForwardPlace {
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

struct HeldPlaces {
    source: Box<dyn Read + Send>,
    _place: ForwardPlace,
}

impl Read for HeldPlaces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

/// Of the sixteen that the metadata service is asked at a time. SDKs read one thing after the other.
const PER_PEER: usize = 4;

impl Service {
    pub(super) fn forward(&self, request: &Request<'_>, route: &Route, path: &CanonicalPath, peer: IpAddr) -> Answer {
        let method = if request.method == Method::Head { Forwarded::Head } else { Forwarded::Get };
        let Some(place) = self.forwards.begin(peer) else { return Answer::refuse(Reason::Busy, route) };
        match self.imds.forward(method, path, request.headers.accept) {
            Ok(response) => Answer::ok(place.until_read(response)),
            Err(failure) => Answer::refuse_because(Reason::MetadataUnavailable, route, failure.cause),
        }
    }

    /// Fetches a listing and shows of it what can be had. Its length is ours, so HEAD asks for the whole of it too.
    pub(super) fn list(
        &self,
        request: &Request<'_>,
        route: &Route,
        path: &CanonicalPath,
        iam: IamEntry,
        peer: IpAddr,
    ) -> Answer {
        let Some(_place) = self.forwards.begin(peer) else { return Answer::refuse(Reason::Busy, route) };
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
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_places_and_no_more_until_its_answers_are_read() {
        let forwards = Forwards::default();
        let [peer, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let mut places: Vec<ForwardPlace> = (0..PER_PEER).map(|_| forwards.begin(peer).unwrap()).collect();
        assert!(forwards.begin(peer).is_none() && forwards.begin(other).is_some());
        let stream = Body::Stream { source: Box::new(io::empty()), length: None };
        let streamed = places.pop().unwrap().until_read(Response { body: stream, ..Response::empty(200) });
        assert!(forwards.begin(peer).is_none());
        drop(streamed);
        drop(places.pop().unwrap().until_read(Response::empty(200)));
        assert_eq!((0..3).filter_map(|_| forwards.begin(peer).map(std::mem::forget)).count(), 2);
        drop(places);
    }
}
