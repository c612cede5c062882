//! TLS for ureq: connections to `https` URLs are wrapped, others pass through. [`trust`](super::trust) defines which
//! certificates are trusted.
//!
//! Before each request the certificate files are checked for changes. A connection made with an older version isn't
//! reused.

use std::fmt;
use std::io::{Error as IoError, ErrorKind, Read, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::http::{Request, Response, Uri};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::unversioned::transport::time::Instant;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};
use ureq::{Body, Error, SendBody};

use super::failure;
use super::trust::{ClientIdentity, TlsOptions, Trusted};
use super::verify::client_config;

/// The TLS configuration of one agent, following its files.
pub(super) struct Tls {
    options: TlsOptions,
    proxy: Option<Uri>,
    made: Mutex<Option<Made>>,
}

/// A configuration and its inputs. It holds the resumable sessions.
struct Made {
    trusted: Option<Arc<Trusted>>,
    identity: Option<Arc<ClientIdentity>>,
    config: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(options: TlsOptions, proxy: Option<Uri>) -> Self {
        Self { options, proxy, made: Mutex::new(None) }
    }

    /// Checks whether the files have changed.
    fn refresh(&self) {
        if let Some(authorities) = self.options.roots.authorities() {
            authorities.0.current();
        }
        if let Some(certificate) = &self.options.client_certificate {
            certificate.0.current();
        }
    }

    /// Has the files read again before the next request, since they may be the cause of a failure.
    fn invalidate(&self) {
        if let Some(authorities) = self.options.roots.authorities() {
            authorities.0.invalidate();
        }
        if let Some(certificate) = &self.options.client_certificate {
            certificate.0.invalidate();
        }
    }

    /// The configuration for the last versions read. Does no IO, since ureq calls it while holding its pool's lock.
    fn config(&self) -> Arc<ClientConfig> {
        let trusted = self.options.roots.authorities().map(|authorities| authorities.0.last());
        let identity = self.options.client_certificate.as_ref().map(|certificate| certificate.0.last());
        let mut made = self.made.lock();
        if let Some(made) = &*made
            && is_same(made.trusted.as_ref(), trusted.as_ref())
            && is_same(made.identity.as_ref(), identity.as_ref())
        {
            return Arc::clone(&made.config);
        }
        let config = Arc::new(client_config(&self.options.roots, trusted.clone(), identity.as_deref()));
        *made = Some(Made { trusted, identity, config: Arc::clone(&config) });
        config
    }

    /// The peer's name for messages, and the name its certificate must have. ureq connects to a proxy by the proxy's
    /// URL.
    fn peer(&self, details: &ConnectionDetails<'_>) -> Result<(&'static str, ServerName<'static>), Error> {
        if self.proxy.as_ref() == Some(details.uri) {
            return Ok(("the proxy", host_name(details.uri)?));
        }
        let name = self.options.server_name.clone();
        Ok((self.options.peer, name.map_or_else(|| host_name(details.uri), Ok)?))
    }

    /// Describes a failure, with its own text if it is a TLS error.
    fn failure(&self, peer: &str, error: IoError) -> Error {
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            self.invalidate();
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => {
                let words = failure::describe(tls, peer, &self.options.advice);
                Error::Io(IoError::new(ErrorKind::InvalidData, words))
            }
            None => error.into(),
        }
    }
}

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

/// Refreshes the files before each request of an agent.
pub(super) struct RefreshFiles(pub(super) Arc<Tls>);

impl Middleware for RefreshFiles {
    fn handle(&self, request: Request<SendBody<'_>>, next: MiddlewareNext<'_>) -> Result<Response<Body>, Error> {
        self.0.refresh();
        next.handle(request)
    }
}

/// The last connector of an agent's chain.
pub(super) struct TlsConnector(pub(super) Arc<Tls>);

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let (config, (peer, name)) = (self.0.config(), self.0.peer(details)?);
        let mut connection = ClientConnection::new(Arc::clone(&config), name).map_err(IoError::other)?;
        let transport: Box<dyn Transport> = Box::new(transport);
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(remaining_time(details));
        connection.complete_io(&mut socket).map_err(|error| self.0.failure(peer, error))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let stream = StreamOwned::new(connection, socket);
        Ok(Some(Either::B(TlsTransport { buffers, stream, config, peer, tls: Arc::clone(&self.0) })))
    }
}

/// The name or address that the certificate must have.
fn host_name(uri: &Uri) -> Result<ServerName<'static>, Error> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| Error::Tls("no certificate can be of the URL's host"))
}

/// The part of the connect timeout that TCP and the proxy left for the handshake.
fn remaining_time(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Instant::Exact(start), Instant::Exact(now)) = (details.now, (details.current_time)())
        && !timeout.after.is_not_happening()
    {
        timeout.after = timeout.after.saturating_sub(now.saturating_duration_since(start)).into();
    }
    timeout
}

/// A TLS connection.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
    /// The configuration it was made with
    config: Arc<ClientConfig>,
    peer: &'static str,
    tls: Arc<Tls>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(|error| self.tls.failure(self.peer, error))
    }

    /// In TLS 1.3 a server's rejection of the client certificate arrives only here.
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let read =
            self.stream.read(self.buffers.input_append_buf()).map_err(|error| self.tls.failure(self.peer, error))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        Arc::ptr_eq(&self.config, &self.tls.config()) && self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

#[cfg(test)]
mod tests;
