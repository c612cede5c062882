use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::logic::operator::doctor::Mark;

#[test]
fn an_address_neither_set_up_nor_reachable_fails() {
    let report = |whole| RedirectReport { whole, detail: "not set up\n".into(), ..RedirectReport::default() };
    let at = SocketAddr::from((ADDRESS, 8181));
    let refused = || Err(ErrorKind::ConnectionRefused.into());
    for (report, connected, mark) in [
        (report(true), Ok(()), Mark::Ok),
        (report(true), refused(), Mark::Warn),
        (report(false), Ok(()), Mark::Warn),
        (report(false), refused(), Mark::Fail),
    ] {
        let found = address(&report, at, connected);
        assert!(found.mark == mark && found.text.contains("169.254.170.2:8181"), "{found:?}");
    }
}

#[test]
fn a_missing_redirect_fails_only_if_configured() {
    let report = |whole| RedirectReport { whole, kept: true, connections: Some(3), detail: "missing\n".into() };
    for (report, owner, mark) in [
        (report(true), RedirectOwner::Agent, Mark::Ok),
        (report(true), RedirectOwner::Elsewhere, Mark::Ok),
        (report(false), RedirectOwner::Agent, Mark::Fail),
        (report(false), RedirectOwner::Elsewhere, Mark::Warn),
    ] {
        let found = redirect(&report, owner);
        assert!(found.mark == mark && !found.text.contains('\n'), "{found:?}");
    }
}

#[test]
fn a_port_held_on_v4_only_is_taken_for_all_addresses() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listen = Listen { address: None, port: held.local_addr().unwrap().port() };
    assert!(port(listen, SocketAnswer::Agent).text.ends_with("is held by an agent"));
    drop(held);
    assert_eq!(port(listen, SocketAnswer::None).mark, Mark::Ok);
}

#[test]
fn a_port_held_by_another_program_is_a_failure() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port_number = held.local_addr().unwrap().port();
    let listen = Listen { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: port_number };
    assert_eq!(port(listen, SocketAnswer::Agent).mark, Mark::Ok);
    // no one accepts: the query for an agent ends at its deadline or with the listener
    drop(held);
    assert_eq!(port(listen, SocketAnswer::None).mark, Mark::Ok);
}
