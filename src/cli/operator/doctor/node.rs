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
mod tests;
