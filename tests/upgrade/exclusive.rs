//! The port is the agent's alone: what a process of its own user can do to get at pods' requests.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use crate::standins::client::get_as_operator;
use crate::{CREDENTIALS, Node, answering, listening, retire, status};

/// Options with which a process may try.
#[derive(Clone, Copy, Debug)]
struct Options {
    reuse_port: bool,
    reuse_address: bool,
    /// Bound to one device
    device: Option<&'static [u8]>,
}

/// Every combination, on the loopback device and on all.
fn every_option() -> impl Iterator<Item = Options> {
    (0..8_u8).map(|number| Options {
        reuse_port: number & 1 != 0,
        reuse_address: number & 2 != 0,
        device: (number & 4 != 0).then_some(b"lo".as_slice()),
    })
}

/// All v4, one v4, the node's other names, all v6, one v6, and v4 in the form of v6.
fn every_address(port: u16) -> Vec<SocketAddr> {
    let addresses = ["0.0.0.0", "127.0.0.1", "127.0.7.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
    addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect()
}

fn bound(address: SocketAddr, options: Options) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(options.reuse_port)?;
    socket.set_reuse_address(options.reuse_address)?;
    socket.bind_device(options.device)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listened(address: SocketAddr, options: Options) -> io::Result<Socket> {
    let socket = bound(address, options)?;
    socket.listen(16)?;
    Ok(socket)
}

/// Addresses on which another process could listen, with what options.
fn openings(port: u16) -> Vec<String> {
    let mut open = Vec::new();
    for address in every_address(port) {
        for options in every_option() {
            match listened(address, options) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => open.push(format!("{address} {options:?}: {error}")),
                Ok(_) => open.push(format!("{address} {options:?}")),
            }
        }
    }
    open
}

#[test]
fn no_process_of_the_same_user_can_listen_beside_the_agent() {
    let node = Node::set_up();
    let mut old = node.agent();
    assert_eq!(openings(node.port), Vec::<String>::new());
    let mut new = node.agent();
    assert_eq!(openings(node.port), Vec::<String>::new(), "while two agents have the listener");
    retire(&mut old);
    assert_eq!(openings(node.port), Vec::<String>::new(), "after it was handed over");
    assert_eq!((listening(node.port), status(node.addr(), CREDENTIALS)), (1, 200));
    retire(&mut new);
}

#[test]
fn the_operators_port_and_a_single_address_are_exclusive_too() {
    let node = Node::set_up();
    let port = crate::standins::agent::free_port();
    let mut agent = answering(node.setup().flags(&["--bind-address=127.0.0.1", &format!("--metrics-port={port}")]));
    assert_eq!(openings(port), Vec::<String>::new());
    // Other addresses of the node's are not the agent's: only what would take its own requests is refused.
    let open = openings(node.port);
    let elsewhere = |line: &String| line.starts_with("127.0.7.1") || line.starts_with("[::1]");
    assert!(open.iter().all(elsewhere), "{open:#?}");
    retire(&mut agent);
}

#[test]
fn a_socket_that_was_bound_before_never_gets_to_listen() {
    let node = Node::set_up();
    let options = |reuse_port| Options { reuse_port, reuse_address: true, device: None };
    for reuse_port in [false, true] {
        let early: Vec<Socket> = every_address(node.port)
            .into_iter()
            .filter_map(|address| bound(address, options(reuse_port)).ok())
            .collect();
        assert!(early.len() > 2, "some of them fit beside each other");
        let mut agent = node.agent();
        for socket in &early {
            assert!(socket.listen(16).is_err(), "{:?}", socket.local_addr());
        }
        assert_eq!((listening(node.port), status(node.addr(), CREDENTIALS)), (1, 200));
        retire(&mut agent);
    }
}

#[test]
fn without_a_state_directory_each_start_says_that_the_port_is_shared() {
    let node = Node::set_up();
    for _ in 0..2 {
        let mut agent = answering(node.alone());
        let line = agent.wait_for_log("(SO_REUSEPORT) to every process of this user");
        assert!(line.contains("level=warning"), "{line}");
        retire(&mut agent);
    }
    let mut agent = node.agent();
    assert!(!agent.log().iter().any(|line| line.contains("SO_REUSEPORT")));
    assert_eq!(get_as_operator(node.addr(), "/readyz").status, 200);
    retire(&mut agent);
}
