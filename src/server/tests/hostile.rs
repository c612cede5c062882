//! Hostile clients, one at a time.

use super::*;

/// Deadlines short enough for a test to wait for.
fn short_deadlines() -> Limits {
    Limits {
        head_deadline: Duration::from_millis(200),
        write_deadline: Duration::from_millis(200),
        keep_alive_idle: Duration::from_millis(200),
        ..Limits::default()
    }
}

#[test]
fn half_head_is_answered_408_at_its_deadline() {
    let server = TestServer::with(short_deadlines());
    let start = RealClock.now().mono;
    let all = server.exchange("GET / HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(&all[9..12], "408", "{all}");
    server.await_bad_head(BadHead::TimedOut);
    assert!(elapsed_since(start) >= Duration::from_millis(200));
}

#[test]
fn slow_bytes_do_not_extend_the_head_deadline() {
    let server = TestServer::with(short_deadlines());
    let mut client = server.client();
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let start = RealClock.now().mono;
    client.send("GET /");
    for _ in 0..500 {
        client.send("a");
        let mut bytes = [0; 12];
        match client.reader.read(&mut bytes) {
            Err(error) if super::super::timed_writer::is_timeout(&error) => {}
            Ok(12) => {
                assert_eq!(&bytes, b"HTTP/1.1 408");
                assert!(elapsed_since(start) < Duration::from_secs(2));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the deadline never passed");
}

/// A client whose first request was answered; on a busy machine it may come after its short deadline.
fn answered_in_time(server: &TestServer) -> Client {
    let mut clients = (0..100).map(|_| server.client());
    clients.find_map(|mut client| (client.get("/").status == 200).then_some(client)).expect("one request is in time")
}

#[test]
fn second_head_has_its_own_deadline() {
    // Only the idle timeout between requests is long.
    let server = TestServer::with(Limits { keep_alive_idle: PATIENCE, ..short_deadlines() });
    let mut client = answered_in_time(&server);
    client.send("GET / HT");
    assert_eq!(client.reply().status, 408);
    assert_eq!(client.rest(), "");
}

#[test]
fn body_shares_the_deadline_of_its_head() {
    let server = TestServer::with(short_deadlines());
    let all = server.exchange("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(&all[9..12], "408", "{all}");
}

#[test]
fn silent_connection_is_closed_without_a_response() {
    for limits in [short_deadlines(), Limits { head_deadline: PATIENCE, ..short_deadlines() }] {
        let server = TestServer::with(limits);
        let mut client = server.client();
        if limits.head_deadline == PATIENCE {
            assert_eq!(client.get("/").status, 200);
        }
        assert_eq!(client.rest(), "");
        assert!(server.events.try_iter().all(|event| matches!(event, ConnectionEvent::Accepted { .. })));
    }
}

#[test]
fn non_http_input_is_rejected_and_closed() {
    let server = TestServer::open();
    for (bytes, status, bad) in [
        (&b"GET / HTTP/1.1\nHost: x\n\n"[..], "400", BadHead::Malformed),
        (b"GET /\r\n", "400", BadHead::Malformed),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", BadHead::Version),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", BadHead::Malformed),
        (b"\0\0\0\0", "400", BadHead::Malformed),
    ] {
        let all = server.exchange(bytes);
        assert_eq!(&all[9..12], status, "{all}");
        assert_eq!(header(&all, "Connection"), Some("close"));
        server.await_bad_head(bad);
    }
}

#[test]
fn endless_heads_are_cut_at_the_limit() {
    let server = TestServer::open();
    for piece in ["a", "A: b\r\n", "A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"] {
        let mut client = server.client();
        client.send("GET /");
        if piece.len() > 1 {
            client.send(" HTTP/1.1\r\n");
        }
        client.send(piece.repeat(300_000 / piece.len()));
        assert_eq!(client.reply().status, 431, "{piece:?}");
        server.await_bad_head(BadHead::TooLong);
    }
}

#[test]
fn slow_reader_is_cut_at_the_write_deadline() {
    let server = TestServer::with(short_deadlines());
    let mut client = server.client();
    let start = RealClock.now().mono;
    client.send("GET /big HTTP/1.1\r\n\r\n");
    server.await_event(|event| *event == ConnectionEvent::Cut { peer: peer(1), why: CutReason::SlowReader });
    assert!(elapsed_since(start) >= Duration::from_millis(200));
    assert!(client.reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn pipeline_that_is_never_read_is_cut_at_the_write_deadline() {
    let server = TestServer::with(short_deadlines());
    let mut client = server.client_from(2);
    let requests = "GET /pipeline HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200_000);
    client.send(requests);
    // Cut, or closed in order where making the responses took long on a busy machine.
    wait_until(|| server.server.connections() == 0);
    answered_in_time(&server);
}

/// Reads fast enough for each single response to meet its deadline.
#[test]
fn slowly_read_pipeline_has_one_deadline_for_all_responses() {
    let server = TestServer::with(Limits { write_deadline: Duration::from_millis(400), ..short_deadlines() });
    let mut client = server.client_with_small_window();
    client.send("GET /stream/known HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300));
    let start = RealClock.now().mono;
    let mut block = [0; 8 * 1024];
    for _ in 0..1_000 {
        // Paces the reading. The connection is cut, or closed after a response with `Connection: close`.
        let cut = server
            .events
            .recv_timeout(Duration::from_millis(10))
            .is_ok_and(|e| matches!(e, ConnectionEvent::Cut { .. }));
        if cut || !client.reader.read(&mut block).is_ok_and(|read| read > 0) {
            return assert!(elapsed_since(start) < Duration::from_secs(5), "{:?}", elapsed_since(start));
        }
    }
    panic!("the deadline never passed");
}

#[test]
fn pipelined_waiting_requests_do_not_occupy_their_worker() {
    let server = TestServer::with(Limits { write_deadline: Duration::from_millis(100), ..Limits::default() });
    let mut client = server.client();
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50));
    let mut answered = 0;
    while answered < 50 && server.arrived.recv_timeout(Duration::from_millis(500)).is_ok() {
        // Released only after a while.
        assert!(server.arrived.recv_timeout(Duration::from_millis(20)).is_err(), "one at a time");
        server.gate.send(()).unwrap();
        answered += 1;
    }
    assert!((1..=3).contains(&answered), "{answered} answers");
    assert_eq!(client.rest().matches("Connection: close").count(), 1);
}

#[test]
fn stalled_reader_is_evicted_for_a_new_connection() {
    let server = TestServer::with(Limits { per_peer: 4, ..Limits::default() });
    let mut stalled: Vec<_> = (0..4).map(|_| server.client_from(2)).collect();
    stalled.iter_mut().for_each(|client| client.send("GET /big HTTP/1.1\r\n\r\n"));
    // Until the first of them stalls, new connections are refused.
    let answered = (0..10_000).any(|_| {
        let mut newcomer = server.client_from(2);
        newcomer.send("GET / HTTP/1.0\r\n\r\n");
        newcomer.reply_if_any().is_some_and(|reply| reply.status == 200)
    });
    assert!(answered);
    server.await_event(|event| *event == ConnectionEvent::Evicted { peer: peer(2) });
}

#[test]
fn steady_reader_receives_a_large_response_completely() {
    let server = TestServer::open();
    let mut client = server.client();
    for _ in 0..2 {
        assert_eq!(client.get("/big").body.len(), BIG);
    }
}

#[test]
fn panic_is_answered_500_and_affects_no_other_connection() {
    let server = TestServer::open();
    for _ in 0..3 {
        let mut client = server.client();
        let reply = client.get("/panic");
        assert_eq!((reply.status, reply.body.as_str()), (500, "internal-error"));
        assert_eq!(header(&reply.head, "Connection"), Some("close"));
        assert_eq!(client.rest(), "");
        server.await_event(|event| *event == ConnectionEvent::Panicked { peer: peer(1) });
    }
    assert_eq!(server.client().get("/next").status, 200);
}

#[test]
fn resets_at_any_point_affect_no_other_connection() {
    let server = TestServer::open();
    for round in 0..200 {
        let mut client = server.client();
        client.send(["", "GET / HT", "GET / HTTP/1.1\r\n\r\n", "GET /big HTTP/1.1\r\n\r\n"][round % 4]);
        client.reset();
    }
    assert_eq!(server.client().get("/next").status, 200);
    assert_eq!(server.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}
