//! Checks of this node: the port, the redirect, the address of container credentials, and a running agent.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Checks, DoctorContext};
use crate::agent::{PortTrial, credentials_address, redirect::report, try_port};
use crate::cli::operator::Failure;
use crate::cli::operator::socket::{SocketRequest, ask};
use crate::config::{Listen, SocketSetting};
use crate::logic::operator::doctor::Finding;
use crate::logic::operator::port_holder::{HolderJudgement, PortAnswer, Requests, TakenPort};
use crate::logic::operator::status::RedirectReport;
use crate::logic::redirect::address::ADDRESS;
use crate::logic::redirect::guard::HEALTH_V4;
use crate::os::clock::SystemClock;
use crate::os::port_holder::{ask_health, holders};

pub(super) fn check(context: &DoctorContext, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let config = &context.config;
    let mut socket = SocketAnswer::None;
    checks.check("agent", || {
        let (finding, answer) = agent(&config.operation.control_socket);
        socket = answer;
        finding
    })?;
    checks.check("port", || port(config.listen.app, socket))?;
    let owner = config.redirect.as_ref().map_or(RedirectOwner::Elsewhere, |_| RedirectOwner::Agent);
    checks.check("redirect", || redirect(&report(), owner))?;
    if config.credentials_address.is_none() {
        return Ok(());
    }
    let at = SocketAddr::new(ADDRESS.into(), config.listen.app.port);
    checks.check("container address", || {
        let connected = TcpStream::connect_timeout(&at, CONNECT_WAIT).map(drop);
        address(&credentials_address::report(), at, connected)
    })
}

/// In a pod, doctor can't see the node's links, so the connection alone decides.
fn address(report: &RedirectReport, at: SocketAddr, connected: std::io::Result<()>) -> Finding {
    let detail = report.detail.trim_end();
    match (report.whole, connected) {
        (true, Ok(())) => Finding::ok(format!("{at} is in place, and a connection to it is accepted")),
        (true, Err(cause)) => {
            Finding::warn(format!("{at} is in place, but an agent doesn't accept connections there: {cause}"))
        }
        (false, Ok(())) => Finding::warn(format!("a connection to {at} is accepted from here, but: {detail}")),
        (false, Err(cause)) => Finding::fail(format!(
            "{detail}; failed to connect to {at}: {cause}; the agent sets it up when it starts, and so does `kube2iam \
             redirect add --container-credentials`"
        )),
    }
}

/// Which program sets up the redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RedirectOwner {
    /// The agent, with `--iptables`
    Agent,
    Elsewhere,
}

fn redirect(report: &RedirectReport, owner: RedirectOwner) -> Finding {
    let detail = report.detail.trim_end();
    match (report.whole, owner) {
        (true, _) => {
            let seen = report.connections.map(|count| match count {
                0 => ", no connections yet".to_owned(),
                count => format!(", {count} connections so far"),
            });
            Finding::ok(format!("in place and intact{}", seen.unwrap_or_default()))
        }
        (false, RedirectOwner::Agent) => {
            Finding::fail(format!("{detail}; the agent places it when it starts, and so does `kube2iam redirect add`"))
        }
        (false, RedirectOwner::Elsewhere) => {
            Finding::warn(format!("{detail}; without --iptables something else must send pods' requests to the agent"))
        }
    }
}

/// Whether an agent responds on the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketAnswer {
    Agent,
    None,
}

/// The finding about a running agent, and whether there is one.
fn agent(socket: &SocketSetting) -> (Finding, SocketAnswer) {
    let path: &Path = match socket {
        SocketSetting::Off => return (Finding::ok("no control socket is configured"), SocketAnswer::None),
        SocketSetting::Preset(path) | SocketSetting::Asked(path) => path,
    };
    let question = SocketRequest { method: "GET", path: "/status", parameters: &[] };
    let Ok(status) = ask(path, &question) else {
        return (Finding::ok(format!("no agent answers at `{}`", path.display())), SocketAnswer::None);
    };
    let finding = match (status["ready"].as_bool(), status["version"].as_str(), status["pods"].as_u64()) {
        (Some(true), Some(version), Some(pods)) => Finding::ok(format!("version {version} runs and knows {pods} pods")),
        (Some(false), ..) => Finding::warn("one runs, but isn't ready yet: see its log"),
        _ => Finding::warn(format!("another version answers at `{}`", path.display())),
    };
    (finding, SocketAnswer::Agent)
}

fn port(listen: Listen, socket: SocketAnswer) -> Finding {
    let Listen { address, port } = listen;
    match try_port(listen) {
        PortTrial::Free => Finding::ok(format!("{port} is free")),
        PortTrial::Taken => {
            let named = address.filter(|address| !address.is_unspecified());
            let local = named.unwrap_or(IpAddr::V4(HEALTH_V4));
            let at = SocketAddr::new(local, port);
            if socket == SocketAnswer::Agent || ask_health(at, &SystemClock::new()) == PortAnswer::AsKube2iam {
                Finding::ok(format!("{port} is held by an agent"))
            } else {
                let taken = TakenPort {
                    missing_address: None,
                    port,
                    holders: holders(port),
                    judgement: HolderJudgement::UNKNOWN,
                    requests: Requests::NotOurs,
                };
                Finding::fail(taken.to_string())
            }
        }
        PortTrial::Failed(cause) => Finding::fail(format!("failed to bind port {port}: {cause}")),
    }
}

/// A local connection takes about a millisecond.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
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
}
