//! Ports for agents to listen on, each claimed for as long as this process lives.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::Mutex;

/// A port that nobody holds, below those the kernel gives to outgoing connections, another one at each call.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(PORTS)).expect("a remainder fits");
    let mut ports = (0..PORTS).map(|_| FIRST_PORT + (own + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS);
    ports.find(|port| claim(*port)).expect("one of 12,000 ports is free")
}

/// Other test programs look for ports too, some long before an agent listens there, and two agents at one port would
/// share its connections. The UDP port of that number, which no agent wants, stands for the claim until this process ends.
fn claim(port: u16) -> bool {
    static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let Ok(claim) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) else { return false };
    let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    CLAIMS.lock().extend(free.then_some(claim));
    free
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
