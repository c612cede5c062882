//! Shutdown, and listeners handed over between agents.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use super::*;

#[test]
fn idle_connections_and_incomplete_heads_are_closed_at_once() {
    let server = TestServer::with(Limits { newcomer: Duration::ZERO, ..Limits::default() });
    let (mut silent, mut half, mut idle) = (server.client(), server.client(), server.client());
    assert_eq!(idle.get("/").status, 200);
    half.send("GET / HTTP/1.1\r\n");
    for _ in 0..3 {
        server.await_event(|event| matches!(event, ConnectionEvent::Accepted { .. }));
    }
    let start = RealClock.now().mono;
    assert_eq!(server.server.shut_down(PATIENCE), Drained { unfinished: 0 });
    assert!(elapsed_since(start) < Duration::from_secs(1));
    for client in [&mut silent, &mut half, &mut idle] {
        assert_eq!(client.rest(), "");
    }
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn new_connection_may_still_send_its_request_during_shutdown() {
    let mut server = TestServer::with(Limits { newcomer: PATIENCE, ..Limits::default() });
    let (mut fresh, mut half) = (server.client(), server.client());
    half.send("GET /half HT");
    for _ in 0..2 {
        server.await_event(|event| matches!(event, ConnectionEvent::Accepted { .. }));
    }
    server.server.stop_accepting();
    assert!(TcpStream::connect(server.address).is_err());
    fresh.send("GET /fresh HTTP/1.1\r\n\r\n");
    half.send("TP/1.1\r\n\r\n");
    for client in [&mut fresh, &mut half] {
        assert_eq!((client.reply().head.contains("200"), client.rest().as_str()), (true, ""));
    }
    assert_eq!(server.server.drain(PATIENCE), Drained { unfinished: 0 });
}

#[test]
fn silent_new_connections_are_closed_within_the_grace_period() {
    let server = TestServer::with(Limits { newcomer: Duration::from_millis(50), ..Limits::default() });
    let mut silent = server.client();
    server.await_event(|event| matches!(event, ConnectionEvent::Accepted { .. }));
    let start = RealClock.now().mono;
    assert_eq!(server.server.shut_down(PATIENCE), Drained { unfinished: 0 });
    assert!(elapsed_since(start) < Duration::from_secs(2), "long before the head's deadline and the grace period end");
    assert_eq!(silent.rest(), "");
}

#[test]
fn responses_in_progress_are_finished_with_connection_close() {
    let server = TestServer::open();
    let mut client = server.client();
    client.send("GET /wait HTTP/1.1\r\n\r\n");
    server.arrived.recv_timeout(PATIENCE).unwrap();
    let TestServer { server, gate, address, .. } = server;
    let (done, drained) = unbounded();
    let closing = crate::os::threads::spawn("test-closing", 64 * 1024, move || {
        done.send(server.shut_down(PATIENCE)).unwrap();
    });
    wait_until(|| TcpStream::connect(address).is_err());
    assert!(drained.try_recv().is_err(), "it waits for the response");
    gate.send(()).unwrap();
    let reply = client.reply();
    assert_eq!((reply.body.as_str(), header(&reply.head, "Connection")), ("waited", Some("close")));
    assert_eq!(client.rest(), "");
    assert_eq!(drained.recv_timeout(PATIENCE).unwrap(), Drained { unfinished: 0 });
    closing.unwrap().join().unwrap();
}

#[test]
fn grace_period_cuts_a_slow_reader() {
    let server = TestServer::open();
    let mut slow_reader = server.client();
    slow_reader.send("GET /big HTTP/1.1\r\n\r\n");
    slow_reader.head_of_reply();
    let start = RealClock.now().mono;
    assert_eq!(server.server.shut_down(Duration::from_millis(100)), Drained { unfinished: 1 });
    assert!(elapsed_since(start) < Duration::from_secs(2));
    let mut rest = Vec::new();
    let _ = slow_reader.reader.read_to_end(&mut rest);
    assert!(rest.len() < BIG, "only what the kernel buffers held");
}

#[test]
fn blocked_handler_does_not_delay_shutdown() {
    let server = TestServer::open();
    let mut client = server.client();
    client.send("GET /wait HTTP/1.1\r\n\r\n");
    server.arrived.recv_timeout(PATIENCE).unwrap();
    let start = RealClock.now().mono;
    assert_eq!(server.server.shut_down(Duration::from_millis(50)), Drained { unfinished: 1 });
    assert!(elapsed_since(start) < Duration::from_secs(3));
    server.gate.send(()).unwrap();
}

/// A busy machine may exceed the 100 ms: one response in several tries is enough.
#[test]
fn responses_ready_within_the_last_100_ms_are_not_cut() {
    let answered = |_| {
        let TestServer { mut server, address, events, arrived, gate } = TestServer::open();
        let mut client = Client::over(TcpStream::connect(address).unwrap());
        client.send("GET /wait HTTP/1.1\r\n\r\n");
        arrived.recv_timeout(PATIENCE).unwrap();
        server.stop_accepting();
        assert_eq!(server.drain(Duration::ZERO), Drained { unfinished: 1 });
        let opener = crate::os::threads::spawn("test-opener", 64 * 1024, move || {
            std::thread::park_timeout(Duration::from_millis(20));
            gate.send(()).unwrap();
        });
        server.cut_off();
        opener.unwrap().join().unwrap();
        drop(events);
        client.reply_if_any().is_some_and(|reply| reply.body == "waited")
    };
    assert!((0..10).any(answered));
}

#[test]
fn connections_in_the_accept_queue_are_answered_at_shutdown() {
    let server = TestServer::open();
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("GET /late HTTP/1.1\r\n\r\n");
    }
    assert_eq!(server.server.shut_down(PATIENCE), Drained { unfinished: 0 });
    for client in &mut clients {
        let all = client.rest();
        assert!(all.ends_with("GET /late"), "{all}");
    }
}

#[test]
fn dropped_server_stops_accepting() {
    let TestServer { server, address, events, .. } = TestServer::open();
    drop(server);
    // The observer is dropped with the last thread that could call it.
    while events.recv_timeout(PATIENCE).is_ok() {}
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn listener_is_recognised_by_address_port_and_state() {
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let listener = bind(Some(v4), 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(is_bound_to(&listener, Some(v4), port));
    assert!(!is_bound_to(&listener, Some(v4), port ^ 1));
    assert!(!is_bound_to(&listener, Some([127, 0, 0, 2].into()), port));
    assert!(!is_bound_to(&listener, None, port));
    let everywhere = bind(None, 0).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    assert!(is_bound_to(&everywhere, None, port));
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = connection.local_addr().unwrap().port();
    assert!(!is_bound_to(&TcpListener::from(OwnedFd::from(connection)), Some(v4), port));
    let (pipe, _) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(!is_bound_to(&TcpListener::from(OwnedFd::from(pipe)), None, 0));
}

#[test]
fn v6_only_listener_is_not_recognised() {
    let v6 = std::net::Ipv6Addr::UNSPECIFIED.into();
    for only in [true, false] {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        socket.set_only_v6(only).unwrap();
        socket.bind(&SocketAddr::new(v6, 0).into()).unwrap();
        socket.listen(1).unwrap();
        let listener: TcpListener = socket.into();
        let port = listener.local_addr().unwrap().port();
        assert_eq!((is_bound_to(&listener, None, port), is_bound_to(&listener, Some(v6), port)), (!only, !only));
    }
}

#[test]
fn taken_port_is_detected_and_shared_only_by_consent_of_both() {
    use crate::server::bind::is_in_use;
    use crate::server::{bind_shared, is_taken};
    let v4 = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let first = bind_shared(v4, 0).unwrap();
    let port = first.local_addr().unwrap().port();
    assert!(is_taken(v4, port) && !is_bound_to(&first, v4, port), "an agent never hands over a shared listener");
    let second = bind_shared(v4, port).unwrap();
    assert!(is_in_use(&bind(v4, port).unwrap_err()));
    drop((first, second));
    assert!(!is_taken(v4, port));
    let _exclusive = bind(v4, port).unwrap();
    assert!(is_in_use(&bind_shared(v4, port).unwrap_err()));
}
