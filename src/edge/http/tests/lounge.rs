//! Between two requests: whom a porter answers, and what it leaves to workers.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::door::{Door, Visit};
use super::pool::Pool;
use super::*;
use crate::edge::http::lounge::Lounge;

/// A client whose connection waits in the lounge: its first answer came, and no worker is busy with it any more.
fn settled(house: &House) -> Client {
    let mut client = house.client();
    assert_eq!(client.get("/first").body, "GET /first");
    wait_until(|| !house.server.is_busy());
    client
}

fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = RealClock.now().mono.after(PATIENCE);
    while !is_so() {
        assert!(RealClock.now().mono < deadline, "it never came about");
        std::thread::yield_now();
    }
}

/// One stays for all of them: where the system gives no thread it answers what a porter can't.
#[test]
fn connections_that_wait_hold_one_worker_between_them() {
    let idle_worker = Duration::from_millis(20);
    let house = House::with(Limits { idle_worker, ..Limits::default() });
    let mut clients: Vec<_> = (0..30).map(|_| settled(&house)).collect();
    let mut waiting = [(); 3].map(|()| house.client());
    for client in &mut waiting {
        client.send("GET /wait HTTP/1.1\r\n\r\n");
        house.arrived.recv_timeout(PATIENCE).unwrap();
    }
    assert!(house.server.workers() >= 3);
    waiting.iter().for_each(|_| house.gate.send(()).unwrap());
    waiting.iter_mut().for_each(|client| assert_eq!(client.reply().body, "waited"));
    wait_until(|| house.server.workers() <= 1);
    assert_eq!(house.server.connections(), 33);
    let start = RealClock.now().mono;
    while elapsed_since(start) < 5 * idle_worker {
        for (number, client) in clients.iter_mut().enumerate() {
            let target = format!("/{number}");
            assert_eq!(client.get(&target).body, format!("GET {target}"));
        }
        assert_eq!(house.server.workers(), 1, "nobody had to wait for anything, and the last one stays");
    }
    drop((clients, waiting));
    wait_until(|| house.server.workers() == 0);
}

#[test]
fn what_a_porter_cannot_answer_at_once_is_a_workers() {
    let house = House::open();
    for (request, answer) in [
        ("GET /stream/known HTTP/1.1\r\n\r\n", None),
        ("POST /body HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy", Some("POST /body")),
        ("POST /body HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nxy", Some("POST /body")),
        ("GET /last HTTP/1.1\r\nConnection: close\r\n\r\n", Some("GET /last")),
        ("GET /old HTTP/1.0\r\n\r\n", Some("GET /old")),
        ("GET /two HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Some("malformed-request")),
        ("GET /panic HTTP/1.1\r\n\r\n", Some("internal-error")),
    ] {
        let mut client = settled(&house);
        client.send(request);
        let reply = client.reply();
        assert!(answer.is_none_or(|answer| reply.body == answer), "{request}: {}", reply.body);
    }
}

#[test]
fn a_wait_holds_up_nobody_else() {
    let house = House::with(Limits { porters: 1, ..Limits::default() });
    let (mut waiting, mut other) = (settled(&house), settled(&house));
    waiting.send("GET /wait HTTP/1.1\r\n\r\n");
    house.arrived.recv_timeout(PATIENCE).unwrap();
    assert_eq!(other.get("/meanwhile").body, "GET /meanwhile");
    house.gate.send(()).unwrap();
    assert_eq!(waiting.reply().body, "waited");
    assert_eq!(waiting.get("/again").body, "GET /again");
}

#[test]
fn heads_in_pieces_and_requests_sent_ahead_are_answered_in_order() {
    let house = House::with(Limits { porters: 3, ..Limits::default() });
    let mut client = settled(&house);
    client.send("GET /a HTT");
    client.send("P/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c");
    client.send(" HTTP/1.1\r\n\r\n");
    for target in ["/a", "/b", "/c"] {
        assert_eq!(client.reply().body, format!("GET {target}"));
    }
    let many: String = (0..100).map(|number| format!("GET /{number} HTTP/1.1\r\n\r\n")).collect();
    client.send(many);
    for number in 0..100 {
        assert_eq!(client.reply().body, format!("GET /{number}"));
    }
}

/// The porter has sent what the kernel took; the rest and what follows comes from a worker.
#[test]
fn a_client_that_reads_late_gets_everything_and_holds_up_nobody() {
    let house = House::with(Limits { porters: 1, ..Limits::default() });
    let (mut late, mut other) = (settled(&house), settled(&house));
    late.send("GET /big HTTP/1.1\r\n\r\nGET /after HTTP/1.1\r\n\r\n");
    wait_until(|| house.server.is_busy());
    assert_eq!(other.get("/meanwhile").body, "GET /meanwhile");
    let big = late.reply();
    assert_eq!((big.body.len(), big.body.bytes().all(|byte| byte == b'x')), (BIG, true));
    assert_eq!(late.reply().body, "GET /after");
}

#[test]
fn who_has_nothing_to_say_for_too_long_is_sent_away() {
    let limits = Limits { keep_alive_idle: Duration::from_millis(100), ..Limits::default() };
    let house = House::with(limits);
    let mut client = settled(&house);
    let start = RealClock.now().mono;
    assert_eq!(client.rest(), "");
    assert!(elapsed_since(start) < Duration::from_secs(2));
    assert_eq!(house.server.connections(), 0);
}

/// Without porters a connection keeps its worker.
#[test]
fn a_house_without_porters_answers_all_the_same() {
    let house = House::with(Limits { porters: 0, ..Limits::default() });
    let mut client = house.client();
    for number in 0..3 {
        assert_eq!(client.get(&format!("/{number}")).body, format!("GET /{number}"));
    }
    assert_eq!((house.server.connections(), house.server.workers()), (1, 1));
    assert_eq!(house.server.shut_down(PATIENCE), Drained { unfinished: 0 });
}

#[test]
fn a_request_that_comes_with_the_end_is_answered_as_the_last_one() {
    let mut house = House::with(Limits { newcomer: PATIENCE, ..Limits::default() });
    let mut client = settled(&house);
    house.server.stop_accepting();
    client.send("GET /late HTTP/1.1\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.body.as_str(), header(&reply.head, "Connection")), ("GET /late", Some("close")));
    assert_eq!(house.server.drain(PATIENCE), Drained { unfinished: 0 });
    assert!(house.server.is_deserted());
}

/// Counts how often it is asked.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Handler for Asked {
    fn handle(&self, _: &Request<'_>, _: &Connection<'_>) -> Response {
        self.0.fetch_add(1, Ordering::Relaxed);
        Response::text(200, "asked")
    }

    fn handle_at_once(&self, request: &Request<'_>, connection: &Connection<'_>) -> Option<Response> {
        Some(self.handle(request, connection))
    }
}

/// A client, and its connection at a door where nobody works yet.
fn guest_of(handler: Arc<dyn Handler>) -> (Client, Arc<Door>, Visit) {
    let limits = Limits { porters: 1, ..Limits::default() };
    let observer = Arc::new(Events(unbounded().0));
    let front = Front { limits, handler, observer, clock: Arc::new(RealClock), own_address: Box::new(|_| false) };
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let client = Client::over(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (stream, _) = listener.accept().unwrap();
    let door = Arc::new(Door::new(front));
    let visit = door.admit(Guest::new(stream, peer(1), RealClock.now().mono)).unwrap();
    (client, door, visit)
}

#[test]
fn a_request_that_arrived_before_its_eviction_is_asked_about_once() {
    let handler = Arc::new(Asked::default());
    let (mut client, door, mut visit) = guest_of(handler.clone());
    client.send("GET / HTTP/1.1\r\n\r\n");
    visit.guest.stream.peek(&mut [0]).unwrap();
    visit.standing.rest(RealClock.now().mono);
    assert!(door.shed());
    let lounge = Lounge::new(1).unwrap();
    assert!(lounge.seat(visit).is_ok());
    Arc::new(Pool::new(door, Weak::new(), lounge)).open_lounge().unwrap();
    let reply = client.reply();
    assert_eq!((reply.body.as_str(), header(&reply.head, "Connection")), ("asked", Some("close")));
    assert_eq!(handler.0.load(Ordering::Relaxed), 1);
}

/// Who is hired or leaves still counts for a moment; whom nobody took on meanwhile isn't left to wait for ever.
#[test]
fn who_waits_for_a_worker_that_never_comes_is_sent_away() {
    let (mut client, door, visit) = guest_of(Arc::new(Asked::default()));
    let pool = Arc::new(Pool::new(door.clone(), Weak::new(), Lounge::new(0).unwrap()));
    let workers = [(); 2].map(|()| pool.attend_idly());
    assert!(pool.enqueue(visit).is_ok());
    let [one, last] = workers;
    drop(one);
    assert_eq!(door.seated(), 1);
    drop(last);
    assert_eq!(door.seated(), 0);
    assert!(client.is_closed());
}

/// Whatever a body or an observer does, the others in the room go on.
#[test]
fn an_observer_that_panics_takes_no_porter_away() {
    struct Fragile;
    impl AsRef<[u8]> for Fragile {
        fn as_ref(&self) -> &[u8] {
            panic!("as asked")
        }
    }
    struct Moody;
    impl Handler for Moody {
        fn handle(&self, _: &Request<'_>, _: &Connection<'_>) -> Response {
            Response::text(200, "worked")
        }

        fn handle_at_once(&self, request: &Request<'_>, _: &Connection<'_>) -> Option<Response> {
            let fragile = Response { body: Body::Shared(Arc::new(Fragile)), ..Response::empty(200) };
            Some(if request.target == "/fragile" { fragile } else { Response::text(200, "at once") })
        }
    }
    impl Observer for Moody {
        fn saw(&self, event: &Event) {
            assert!(!matches!(event, Event::Panicked { .. }), "as asked");
        }
    }
    let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { porters: 1, ..Limits::default() };
    let (handler, observer) = (Arc::new(Moody), Arc::new(Moody));
    let front = Front { limits, handler, observer, clock: Arc::new(RealClock), own_address: Box::new(|_| false) };
    let server = Server::start(vec![listener], front).unwrap();
    let [mut one, mut other] = [(); 2].map(|()| {
        let mut client = Client::over(TcpStream::connect(address).unwrap());
        assert_eq!(client.get("/").body, "worked");
        wait_until(|| !server.is_busy());
        assert_eq!(client.get("/").body, "at once");
        client
    });
    one.send("GET /fragile HTTP/1.1\r\n\r\n");
    assert!(one.is_closed());
    assert_eq!(other.get("/").body, "at once");
}
