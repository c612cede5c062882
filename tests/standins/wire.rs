//! The wire under every stand-in: tiny_http reads the requests, a relay in front of it owns the sockets.
//!
//! tiny_http never closes a connection of its own accord and offers no way to, and a closed connection is half of what
//! a stand-in is for. So each client's socket ends at the relay, which passes bytes on and can hang up at any moment,
//! stop listening and listen again at the same port. One thread per request, so that one that hangs hinders no other,
//! and one tiny_http per connection: of two that come at once, it may leave the second until some third one ends.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::exchange::Exchange;

/// A listening server.
pub struct Wire {
    name: &'static str,
    address: SocketAddr,
    board: Arc<Board>,
    handler: Handler,
}

type Handler = Arc<dyn Fn(Exchange) + Send + Sync>;

impl Wire {
    /// Listens on a free port of 127.0.0.1 and hands every request to `handler`, each on its own thread.
    pub fn start(name: &'static str, handler: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a stand-in");
        let address = listener.local_addr().expect("a bound socket has an address");
        let wire = Self { name, address, board: Arc::default(), handler: Arc::new(handler) };
        wire.listen(listener);
        wire
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hangs up on everybody.
    pub fn cut(&self) {
        self.board.cut_all();
    }

    /// Refuses connections from now on and hangs up on everybody, as a server that died.
    pub fn go_down(&self) {
        self.board.set(Listening::No);
        let _ = TcpStream::connect(self.address);
        self.board.wait(|state| !state.accepting);
        self.board.cut_all();
    }

    /// Listens again at the same port.
    pub fn come_back(&self) {
        self.listen(TcpListener::bind(self.address).expect("bind the stand-in's port again"));
    }

    pub fn is_listening(&self) -> bool {
        self.board.state.lock().listening == Listening::Yes
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.board.state.lock().connections
    }

    fn listen(&self, listener: TcpListener) {
        {
            let mut state = self.board.state.lock();
            state.listening = Listening::Yes;
            state.accepting = true;
        }
        let (name, board, handler) = (self.name, self.board.clone(), self.handler.clone());
        spawn("accept", move || {
            for client in listener.incoming().flatten() {
                if board.state.lock().listening == Listening::No {
                    break;
                }
                let _ = relay(name, client, &handler, &board);
            }
            drop(listener);
            board.state.lock().accepting = false;
            board.changed.notify_all();
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.board.set(Listening::No);
        let _ = TcpStream::connect(self.address);
        self.board.cut_all();
    }
}

/// tiny_http behind the relay, until it is unblocked. Accepted sockets inherit `TCP_NODELAY` from the listener (Linux), and without it
/// a watch event could wait 40 ms for an acknowledgement.
fn inner_server(name: &'static str, handler: Handler, board: Arc<Board>) -> (Arc<tiny_http::Server>, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a stand-in");
    socket2::SockRef::from(&listener).set_tcp_nodelay(true).expect("set TCP_NODELAY");
    let address = listener.local_addr().expect("a bound socket has an address");
    let server = tiny_http::Server::from_listener(listener, None).expect("start tiny_http");
    let server = Arc::new(server);
    let requests = server.clone();
    spawn(name, move || {
        while let Ok(request) = requests.recv() {
            let (handler, board) = (handler.clone(), board.clone());
            spawn(name, move || handler(Exchange::new(request, board)));
        }
    });
    (server, address)
}

/// Joins a client's socket with a new one to a tiny_http of its own, and notes under which address that will know it.
fn relay(name: &'static str, client: TcpStream, handler: &Handler, board: &Arc<Board>) -> std::io::Result<()> {
    let (server, inner) = inner_server(name, handler.clone(), board.clone());
    let upstream = TcpStream::connect(inner)?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let key = upstream.local_addr()?;
    board.open(key, Ends { client: client.try_clone()?, upstream: upstream.try_clone()? });
    let (client_in, upstream_out) = (client.try_clone()?, upstream.try_clone()?);
    let inbound = board.clone();
    spawn("relay", move || {
        pass_on(&client_in, &upstream_out);
        let _ = upstream_out.shutdown(Shutdown::Write);
        inbound.forget(key);
    });
    let outbound = board.clone();
    spawn("relay", move || {
        pass_on(&upstream, &client);
        let _ = client.shutdown(Shutdown::Both);
        outbound.forget(key);
        server.unblock();
    });
    Ok(())
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}

/// Who is connected, and whether anybody may be.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    listening: Listening,
    /// Whether the accepting thread still holds the port.
    accepting: bool,
    /// Both ends of each relayed connection, by the address under which tiny_http knows the client.
    open: HashMap<SocketAddr, Ends>,
    connections: usize,
}

struct Ends {
    client: TcpStream,
    upstream: TcpStream,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Listening {
    #[default]
    Yes,
    No,
}

impl Board {
    fn set(&self, listening: Listening) {
        self.state.lock().listening = listening;
    }

    fn open(&self, key: SocketAddr, ends: Ends) {
        let mut state = self.state.lock();
        state.connections += 1;
        state.open.insert(key, ends);
    }

    fn forget(&self, key: SocketAddr) {
        self.state.lock().open.remove(&key);
        self.changed.notify_all();
    }

    fn cut_all(&self) {
        for (_, ends) in self.state.lock().open.drain() {
            let _ = ends.client.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Hangs up on one client at once.
    pub fn cut(&self, key: SocketAddr) {
        if let Some(ends) = self.state.lock().open.remove(&key) {
            let _ = ends.client.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Hangs up on one client once all that tiny_http wrote has reached it: tiny_http is told that the client is done,
    /// ends the connection, and the relay follows after the last byte.
    pub fn finish(&self, key: SocketAddr) {
        if let Some(ends) = self.state.lock().open.get(&key) {
            let _ = ends.upstream.shutdown(Shutdown::Write);
        }
    }

    pub fn is_open(&self, key: SocketAddr) -> bool {
        self.state.lock().open.contains_key(&key)
    }

    /// Waits until the client has gone or was cut off, at most `limit`.
    pub fn wait_closed(&self, key: SocketAddr, limit: Duration) {
        self.wait_within(limit, |state| !state.open.contains_key(&key));
    }

    fn wait(&self, done: impl Fn(&State) -> bool) {
        self.wait_within(Duration::from_secs(5), done);
    }

    fn wait_within(&self, limit: Duration, done: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        while !done(&state) && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }
}

/// Starts a thread under a name that shows whose it is.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(format!("standin-{name}")).spawn(work).expect("start a thread");
}
