//! This node: the port, the redirect, the address of container credentials, and an agent that may run here.

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
    let duty = config.redirect.as_ref().map_or(RedirectDuty::Elsewhere, |_| RedirectDuty::Agents);
    checks.check("redirect", || redirect(&report(), duty))?;
    if config.credentials_address.is_none() {
        return Ok(());
    }
    let at = SocketAddr::new(ADDRESS.into(), config.listen.app.port);
    checks.check("container address", || {
        let connected = TcpStream::connect_timeout(&at, CONNECT_WAIT).map(drop);
        address(&credentials_address::report(), at, connected)
    })
}

/// Run in a pod, doctor sees nothing of the node's links, and the connection alone tells.
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

/// Who places the redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RedirectDuty {
    /// The agent, as `--iptables` says
    Agents,
    Elsewhere,
}

fn redirect(report: &RedirectReport, duty: RedirectDuty) -> Finding {
    let detail = report.detail.trim_end();
    match (report.whole, duty) {
        (true, _) => {
            let seen = report.connections.map(|count| match count {
                0 => ", no connection has come through it yet".to_owned(),
                count => format!(", {count} connections came through it"),
            });
            Finding::ok(format!("in place and whole{}", seen.unwrap_or_default()))
        }
        (false, RedirectDuty::Agents) => {
            Finding::fail(format!("{detail}; the agent places it when it starts, and so does `kube2iam redirect add`"))
        }
        (false, RedirectDuty::Elsewhere) => {
            Finding::warn(format!("{detail}; without --iptables something else must send pods' requests to the agent"))
        }
    }
}

/// Who answers on the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketAnswer {
    Agent,
    None,
}

/// Whether an agent answers on the control socket, in words and in a word.
fn agent(socket: &SocketSetting) -> (Finding, SocketAnswer) {
    let path: &Path = match socket {
        SocketSetting::Off => return (Finding::ok("no control socket to ask at"), SocketAnswer::None),
        SocketSetting::Preset(path) | SocketSetting::Asked(path) => path,
    };
    let question = SocketRequest { method: "GET", path: "/status", parameters: &[] };
    let Ok(status) = ask(path, &question) else {
        return (Finding::ok(format!("none answers at `{}`", path.display())), SocketAnswer::None);
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

/// Within one node an answer takes a millisecond.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::logic::operator::doctor::Mark;

    #[test]
    fn an_address_that_is_neither_set_up_nor_answers_fails() {
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
    fn a_missing_redirect_fails_only_where_it_is_asked_for() {
        let report = |whole| RedirectReport { whole, kept: true, connections: Some(3), detail: "missing\n".into() };
        for (report, duty, mark) in [
            (report(true), RedirectDuty::Agents, Mark::Ok),
            (report(true), RedirectDuty::Elsewhere, Mark::Ok),
            (report(false), RedirectDuty::Agents, Mark::Fail),
            (report(false), RedirectDuty::Elsewhere, Mark::Warn),
        ] {
            let found = redirect(&report, duty);
            assert!(found.mark == mark && !found.text.contains('\n'), "{found:?}");
        }
    }

    #[test]
    fn a_port_that_a_program_holds_on_v4_alone_is_taken_for_all_addresses() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listen = Listen { address: None, port: held.local_addr().unwrap().port() };
        assert!(port(listen, SocketAnswer::Agent).text.ends_with("is held by an agent"));
        drop(held);
        assert_eq!(port(listen, SocketAnswer::None).mark, Mark::Ok);
    }

    #[test]
    fn a_port_that_another_program_holds_is_a_failure() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port_number = held.local_addr().unwrap().port();
        let listen = Listen { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: port_number };
        assert_eq!(port(listen, SocketAnswer::Agent).mark, Mark::Ok);
        // nobody accepts: the question after an agent ends at its deadline or with the listener
        drop(held);
        assert_eq!(port(listen, SocketAnswer::None).mark, Mark::Ok);
    }
}
