use super::*;
use crate::logic::base::time::Mono;
use crate::os::clock::SystemClock;
use std::net::{Ipv4Addr, TcpListener};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn listening_process_is_found() {
    let (listener, address) = listener();
    let found = holders(address.port());
    let own = PortHolder { uid: rustix::process::geteuid().as_raw(), process: found[0].process.clone() };
    assert_eq!(found, [own]);
    let process = found[0].process.as_ref().unwrap();
    assert!(process.pid == std::process::id() && !process.command.is_empty(), "{process:?}");
    drop(listener);
    assert_eq!(holders(address.port()), []);
}

#[test]
fn slow_response_ends_at_the_timeout() {
    let (listener, address) = listener();
    let clock = SystemClock::new();
    let answered = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask_health(address, &clock));
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b" ").is_ok() && !asked.is_finished() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        asked.join().unwrap()
    });
    assert_eq!(answered, PortAnswer::Otherwise);
    assert!(clock.now().mono < Mono::default().after(TIMEOUT * 10));
}

#[test]
fn response_counts_although_the_connection_stays_open() {
    for (said, wanted) in [
        ("HTTP/1.1 200 OK\r\n\r\n{\"hostIP\":\"\",\"instanceId\":\"\"}", PortAnswer::AsKube2iam),
        ("HTTP/1.1 200 OK\r\n\r\nstranger", PortAnswer::Otherwise),
    ] {
        let (listener, address) = listener();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask_health(address, &SystemClock::new()));
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            assert_eq!(asked.join().unwrap(), wanted, "{said}");
        });
    }
}

#[test]
fn unrelated_response_differs_from_none() {
    let (listener, address) = listener();
    for (said, wanted) in [
        (Some("HTTP/1.0 200 OK\r\n\r\n{\"hostIP\":\"\",\"instanceId\":\"\"}"), PortAnswer::AsKube2iam),
        (Some("HTTP/1.0 404 Not Found\r\n\r\n"), PortAnswer::Otherwise),
        (Some(""), PortAnswer::Otherwise),
        (None, PortAnswer::Nothing),
    ] {
        let answered = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask_health(address, &SystemClock::new()));
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            if let Some(said) = said {
                stream.write_all(said.as_bytes()).unwrap();
                drop(stream);
                return asked.join().unwrap();
            }
            let answered = asked.join().unwrap();
            drop(stream);
            answered
        });
        assert_eq!(answered, wanted, "{said:?}");
    }
    drop(listener);
    assert_eq!(ask_health(address, &SystemClock::new()), PortAnswer::Refused);
}
