//! The pool: assigning connections to workers, and connections without a worker.

use std::sync::Weak;

use super::pool::Pool;
use super::shared::{Shared, Shortage, Slot};
use super::*;

/// Each connection has its own thread, so a waiting one delays no other.
#[test]
fn every_open_connection_has_a_worker_and_idle_workers_exit() {
    let limits = Limits { idle_worker: Duration::from_millis(20), ..Limits::default() };
    let server = TestServer::with(limits);
    let mut waiting = server.client();
    waiting.send("GET /wait HTTP/1.1\r\n\r\n");
    server.arrived.recv_timeout(PATIENCE).unwrap();
    let mut idle: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/meanwhile").body, "GET /meanwhile");
    }
    assert_eq!((server.server.connections(), server.server.workers()), (21, 21));
    server.gate.send(()).unwrap();
    assert_eq!(waiting.reply().body, "waited");
    drop((idle, waiting));
    wait_until(|| server.server.workers() == 0);
    assert_eq!(server.client().get("/again").body, "GET /again");
}

#[test]
fn request_pipelined_after_a_large_response_is_answered() {
    let server = TestServer::open();
    let mut late = server.client();
    late.send("GET /big HTTP/1.1\r\n\r\nGET /after HTTP/1.1\r\n\r\n");
    let big = late.reply();
    assert_eq!((big.body.len(), big.body.bytes().all(|byte| byte == b'x')), (BIG, true));
    assert_eq!(late.reply().body, "GET /after");
}

#[test]
fn request_that_arrives_at_shutdown_is_answered_with_close() {
    let mut server = TestServer::with(Limits { newcomer: PATIENCE, ..Limits::default() });
    let mut client = server.client();
    assert_eq!(client.get("/first").body, "GET /first");
    server.server.stop_accepting();
    client.send("GET /late HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.body.as_str(), header(&reply.head, "Connection")), ("GET /late", Some("close")));
    assert_eq!(server.server.drain(PATIENCE), Drained { unfinished: 0 });
    assert!(server.server.has_no_workers());
}

/// A client, and its admitted connection at a server without workers.
fn admitted() -> (Client, Arc<Shared>, Slot) {
    let handler = Arc::new(TestHandler { arrived: unbounded().0, gate: unbounded().1 });
    let observer = Arc::new(Events(unbounded().0));
    let limits = Limits::default();
    let front = Front {
        limits,
        handler,
        observer,
        clock: Arc::new(RealClock),
        own_address: Box::new(|_| false),
        local_pods: LocalPods::None,
    };
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let client = Client::over(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (stream, _) = listener.accept().unwrap();
    let shared = Arc::new(Shared::new(front));
    let slot = shared.admit(Connection::new(stream, peer(1), RealClock.now().mono)).unwrap();
    (client, shared, slot)
}

/// A worker that is starting or exiting is still counted.
#[test]
fn connections_queued_for_a_worker_that_exits_are_refused() {
    let (mut client, shared, slot) = admitted();
    let pool = Arc::new(Pool::new(shared.clone(), Weak::new()));
    let workers = [(); 2].map(|()| pool.count_idle_worker());
    assert!(pool.enqueue(slot).is_ok());
    let [one, last] = workers;
    drop(one);
    assert_eq!(shared.open_connections(), 1);
    drop(last);
    assert_eq!(shared.open_connections(), 0);
    assert!(client.is_closed());
}

#[test]
fn thread_shortage_ends_when_a_worker_becomes_idle() {
    let (client, shared, slot) = admitted();
    let pool = Arc::new(Pool::new(shared.clone(), Weak::new()));
    shared.set_short_of_threads(Shortage::Yes);
    assert!(shared.is_short_of_threads());
    assert!(pool.dispatch(slot).is_ok());
    assert!(!shared.is_short_of_threads(), "a thread could be started");
    shared.set_short_of_threads(Shortage::Yes);
    drop(client);
    wait_until(|| !shared.is_short_of_threads());
    pool.close();
    assert_eq!(pool.wait_until_empty(PATIENCE), 0);
}

/// A panic in an observer or in a body being written costs at most one connection.
#[test]
fn panicking_observer_ends_no_worker() {
    struct Fragile;
    impl AsRef<[u8]> for Fragile {
        fn as_ref(&self) -> &[u8] {
            panic!("planned")
        }
    }
    struct Panics;
    impl Handler for Panics {
        fn handle(&self, request: &Request<'_>, _: &Endpoints<'_>) -> Response {
            let fragile = Response { body: Body::Shared(Arc::new(Fragile)), ..Response::empty(200) };
            if request.target == "/fragile" { fragile } else { Response::text(200, "whole") }
        }
    }
    impl Observer for Panics {
        fn saw(&self, event: &ConnectionEvent) {
            assert!(!matches!(event, ConnectionEvent::Panicked { .. }), "planned");
        }
    }
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { connections: 2, crowded_from: 3, ..Limits::default() };
    let (handler, observer) = (Arc::new(Panics), Arc::new(Panics));
    let front = Front {
        limits,
        handler,
        observer,
        clock: Arc::new(RealClock),
        own_address: Box::new(|_| false),
        local_pods: LocalPods::None,
    };
    let server = Server::start(vec![listener], front).unwrap();
    for _ in 0..4 {
        let [mut one, mut other] = [(); 2].map(|()| Client::over(TcpStream::connect(address).unwrap()));
        assert_eq!(other.get("/").body, "whole");
        one.send("GET /fragile HTTP/1.1\r\n\r\n");
        assert!(one.is_closed());
        assert_eq!(other.get("/").body, "whole");
        drop((one, other));
        wait_until(|| server.connections() == 0);
    }
}
