//! Where connections come in and get their place: for the accepting thread, which watches, and for workers that have just
//! become free and would only wait themselves.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use super::Event;
use super::door::{Door, Visit};
use super::guest::Guest;

/// Where connections come in. The accepting thread owns it: with its end the listeners are closed.
pub(super) struct Reception {
    pub(super) door: Arc<Door>,
    pub(super) listeners: Vec<TcpListener>,
}

impl Reception {
    /// Takes in one of those who wait, for a worker that has just become free: under load that saves handing it over.
    pub(super) fn next(&self) -> Option<Visit> {
        let waiting = || self.listeners.iter().find_map(|listener| listener.accept().ok());
        let (stream, address) = (!self.door.is_closing()).then(waiting).flatten()?;
        self.seat(stream, address).ok()
    }

    /// Gives a newcomer a place, or says why there is none.
    pub(super) fn seat(&self, stream: TcpStream, address: SocketAddr) -> Result<Visit, ()> {
        let peer = address.ip().to_canonical();
        self.door.saw(&Event::Accepted { peer });
        let seated = self.door.admit(Guest::new(stream, peer, self.door.now().mono));
        seated.map_err(|why| self.door.saw(&Event::Refused { peer, why }))
    }
}
