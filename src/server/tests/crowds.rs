//! More clients than slots.

use super::*;

fn narrow() -> Limits {
    Limits { per_peer: 4, connections: 8, reserved_for_node: 2, ..Limits::default() }
}

fn is_evicted(number: u8) -> impl Fn(&ConnectionEvent) -> bool {
    move |event| *event == ConnectionEvent::Evicted { peer: peer(number) }
}

#[test]
fn peer_beyond_its_cap_loses_its_oldest_idle_connection() {
    let server = TestServer::with(narrow());
    let mut clients: Vec<_> = (0..5).map(|_| server.client_from(2)).collect();
    server.await_event(is_evicted(2));
    assert!(clients[0].is_closed());
    for client in &mut clients[1..] {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn request_in_progress_is_never_evicted() {
    let server = TestServer::with(narrow());
    let mut busy: Vec<_> = (0..4).map(|_| server.client_from(2)).collect();
    for client in &mut busy {
        client.send("GET /wait HTTP/1.1\r\n\r\n");
        server.arrived.recv_timeout(PATIENCE).unwrap();
    }
    let mut refused = server.client_from(2);
    assert!(refused.is_closed());
    server.await_event(|event| *event == ConnectionEvent::Refused { peer: peer(2), why: Refusal::PeerFull });
    busy.iter().for_each(|_| server.gate.send(()).unwrap());
    for client in &mut busy {
        assert_eq!(client.reply().body, "waited");
    }
}

#[test]
fn pods_at_loopback_share_one_cap_from_whichever_address_they_connect() {
    let limits = Limits { connections: 8, reserved_for_node: 0, ..narrow() };
    let server = TestServer::among(limits, LocalPods::MayConnect);
    let mut busy: Vec<_> = (1..=4).map(|number| server.client_from(number)).collect();
    for client in &mut busy {
        client.send("GET /wait HTTP/1.1\r\n\r\n");
        server.arrived.recv_timeout(PATIENCE).unwrap();
    }
    for number in [1, 9] {
        assert!(server.client_from(number).is_closed());
        server.await_event(|event| *event == ConnectionEvent::Refused { peer: peer(number), why: Refusal::PeerFull });
    }
    busy.iter().for_each(|_| server.gate.send(()).unwrap());
    for client in &mut busy {
        assert_eq!(client.reply().body, "waited");
    }
}

#[test]
fn full_server_evicts_from_the_largest_peer_and_reserves_slots_for_the_node() {
    let server = TestServer::with(narrow());
    let mut large: Vec<_> = (0..4).map(|_| server.client_from(2)).collect();
    let mut small: Vec<_> = (0..2).map(|_| server.client_from(3)).collect();
    // Six slots are for other peers than the node: peer 4 evicts the oldest connection of the largest peer.
    assert_eq!(server.client_from(4).get("/").status, 200);
    server.await_event(is_evicted(2));
    assert!(large[0].is_closed());
    let mut node: Vec<_> = (0..2).map(|_| server.client()).collect();
    for client in large[1..].iter_mut().chain(&mut small).chain(&mut node) {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn request_that_arrived_before_its_eviction_is_answered() {
    let front = Front {
        limits: Limits::default(),
        handler: Arc::new(TestHandler { arrived: unbounded().0, gate: unbounded().1 }),
        observer: Arc::new(Events(unbounded().0)),
        clock: Arc::new(RealClock),
        own_address: Box::new(|_| false),
        local_pods: LocalPods::None,
    };
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let mut client = Client::over(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (stream, _) = listener.accept().unwrap();
    client.send("GET /late HTTP/1.1\r\n\r\nGET /too-late HTTP/1.1\r\n\r\n");
    stream.peek(&mut [0]).unwrap();
    // Evicts it after its request has arrived and before its worker reads.
    let shared = Arc::new(shared::Shared::new(front));
    let slot = shared.admit(Connection::new(stream, peer(1), RealClock.now().mono)).unwrap();
    assert!(shared.shed());
    request_loop::serve(&shared, &slot.connection, &mut request_loop::Buffers::new());
    drop(slot);
    let reply = client.reply();
    assert_eq!((reply.body.as_str(), header(&reply.head, "Connection")), ("GET /late", Some("close")));
    assert_eq!(client.rest(), "");
}

#[test]
fn peer_above_its_cap_has_as_many_requests_answered_as_slots() {
    for _ in 0..50 {
        // A new server each round: a worker of the previous one may not have noticed that its client left.
        let server = TestServer::with(Limits { per_peer: 2, ..narrow() });
        let mut clients: Vec<_> = (0..6).map(|_| server.client_from(2)).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\n\r\n");
        }
        // Connections that hold a slot at the end are answered, and no response is truncated: a new connection evicts a
        // silent one, or is refused while two requests are being answered.
        let answered = clients.iter_mut().filter_map(Client::reply_if_any).filter(|reply| reply.status == 200).count();
        assert!(answered >= 2, "{answered} answers");
    }
}

#[test]
fn idle_workers_exit_and_the_last_idle_one_is_used_first() {
    let limits = Limits { idle_worker: Duration::from_millis(100), ..Limits::default() };
    let server = TestServer::with(limits);
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("GET /wait HTTP/1.1\r\n\r\n");
        server.arrived.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(server.server.workers(), 8);
    clients.iter().for_each(|_| server.gate.send(()).unwrap());
    for client in &mut clients {
        assert!(client.reply().head.contains("200"));
    }
    drop(clients);
    let deadline = RealClock.now().mono.after(PATIENCE);
    // Clients one after the other need one worker; the other workers exit meanwhile.
    while server.server.workers() > 1 && RealClock.now().mono < deadline {
        while server.server.is_busy() && RealClock.now().mono < deadline {
            std::thread::yield_now();
        }
        assert!(server.exchange("GET / HTTP/1.0\r\n\r\n").ends_with("GET /"));
    }
    assert_eq!(server.server.workers(), 1);
}

#[test]
fn server_with_all_slots_reserved_serves_only_the_node() {
    let server = TestServer::with(Limits { reserved_for_node: 8, ..narrow() });
    assert!(server.client_from(2).is_closed());
    server.await_event(|event| *event == ConnectionEvent::Refused { peer: peer(2), why: Refusal::AllFull });
    assert_eq!(server.client().get("/").status, 200);
}

#[test]
fn failure_to_start_a_thread_costs_one_connection_at_most() {
    // No thread can be started with a stack of this size.
    let server = TestServer::with(Limits { stack: usize::MAX / 2, ..Limits::default() });
    for _ in 0..3 {
        assert!(server.client_from(2).is_closed());
        // No other connection is evicted for it: without workers that would free none.
        let event = server.await_event(|event| !matches!(event, ConnectionEvent::Accepted { .. }));
        assert_eq!(event, ConnectionEvent::Refused { peer: peer(2), why: Refusal::NoThread });
    }
    assert_eq!((server.server.connections(), server.server.workers()), (0, 0));
}
