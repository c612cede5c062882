//! Ordinary clients: single, consecutive, pipelined and split requests.

use super::*;

#[test]
fn responses_carry_length_date_and_server() {
    let server = TestServer::open();
    let reply = server.client().get("/latest/meta-data/");
    assert_eq!(reply.body, "GET /latest/meta-data/");
    assert_eq!(
        reply.head,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n\
         Date: Mon, 23 Nov 2026 05:42:04 GMT\r\nServer: EC2ws\r\n\r\n"
    );
    assert_eq!(server.events.try_iter().collect::<Vec<_>>(), [ConnectionEvent::Accepted { peer: peer(1) }]);
}

#[test]
fn connection_is_kept_alive_between_requests() {
    let server = TestServer::open();
    let mut client = server.client();
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).body, format!("GET /{number}"));
    }
    assert_eq!((server.server.connections(), server.server.workers()), (1, 1));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::open();
    let mut client = server.client();
    let requests: String = (0..500).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..500 {
        assert_eq!(client.reply().body, format!("GET /{number}"));
    }
}

#[test]
fn split_heads_are_reassembled() {
    let server = TestServer::open();
    let mut client = server.client();
    for _ in 0..3 {
        for piece in "GET /pieces HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".as_bytes().chunks(7) {
            client.send(piece);
        }
        assert_eq!(client.reply().body, "GET /pieces");
    }
}

#[test]
fn head_request_gets_the_length_and_no_body() {
    let server = TestServer::open();
    let mut client = server.client();
    for (target, length) in [("/1", Some("7")), ("/static", Some("6")), ("/stream/known", Some("40000"))] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.head_of_reply();
        assert_eq!(header(&head, "Content-Length"), length);
    }
    // Only the next response follows.
    assert_eq!(client.get("/next").body, "GET /next");
}

#[test]
fn connection_closes_on_request_or_for_http_1_0() {
    let server = TestServer::open();
    for (request, connection) in [
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "close"),
        ("GET / HTTP/1.0\r\n\r\n", "close"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", "keep-alive"),
    ] {
        let all = server.exchange(request);
        assert_eq!(header(&all, "Connection"), Some(connection), "{all}");
        assert!(all.ends_with("GET /"), "{all}");
    }
}

#[test]
fn requests_after_connection_close_are_not_answered() {
    let server = TestServer::open();
    let all = server.exchange("GET /1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    assert!(all.ends_with("GET /1"), "{all}");
}

#[test]
fn half_closed_client_still_gets_its_response() {
    let server = TestServer::open();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.rest().ends_with("GET /"));
}

#[test]
fn peer_addresses_are_distinct_and_v4_mapped_ones_converted() {
    let server = TestServer::open();
    assert_eq!(server.client_from(7).get("/peer").body, "127.0.0.7");

    let Ok(listener) = bind(None, 0) else { panic!("neither v6 nor v4 can be bound") };
    let port = listener.local_addr().unwrap().port();
    let (arrived, gate) = (unbounded().0, unbounded().1);
    let front = Front {
        limits: Limits::default(),
        handler: Arc::new(TestHandler { arrived, gate }),
        observer: Arc::new(Events(unbounded().0)),
        clock: Arc::new(RealClock),
        own_address: Box::new(|_| false),
        local_pods: LocalPods::None,
    };
    let server = Server::start(vec![listener], front).unwrap();
    let mut client = Client::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    assert_eq!(client.get("/peer").body, "127.0.0.1");
    // Without a redirect the connection is untracked, or its destination is the server itself.
    let destination = client.get("/destination").body;
    assert!(destination == "None" || destination == format!("Some(127.0.0.1:{port})"), "{destination}");
    assert_eq!(server.shut_down(PATIENCE), Drained { unfinished: 0 });
}
