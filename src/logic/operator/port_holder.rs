//! The process that holds the agent's port, whether it responds like kube2iam, and what happens to pods' requests
//! meanwhile.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use crate::logic::base::json;

/// A listening socket, from `/proc/net/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// The user that opened it
    pub uid: u32,
    pub inode: u64,
}

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    pub uid: u32,
    /// `None`: it isn't visible here, because it runs in another container or as another user
    pub process: Option<HolderProcess>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderProcess {
    pub pid: u32,
    /// The kernel's name of the process, at most 15 bytes
    pub command: String,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(HolderProcess { pid, command }) => {
                write!(f, "process {pid} (`{}`) of user {}", command.escape_debug(), self.uid)
            }
            None => write!(f, "a process of user {} that can't be seen from here", self.uid),
        }
    }
}

/// Why an agent doesn't serve yet: another process holds its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenPort {
    pub port: u16,
    /// A configured address that the node doesn't have; then no process holds the port
    pub missing_address: Option<IpAddr>,
    /// Empty: none was found
    pub holders: Vec<PortHolder>,
    pub judgement: HolderJudgement,
    pub requests: Requests,
}

/// What happens to pods' requests while another process holds the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// The agent redirects them, because the process responds like kube2iam.
    ToKube2iam,
    /// The agent drops them, because the process is unknown.
    Dropped,
    /// The agent manages no redirect.
    NotOurs,
}

impl fmt::Display for TakenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        if let Some(address) = self.missing_address {
            write!(f, "port {port} can't be opened: the node has no address {address}; ")?;
            f.write_str("add it, or give another --bind-address; ")?;
            return f.write_str(self.requests.meanwhile());
        }
        write!(f, "port {port} is held by ")?;
        for (number, holder) in self.holders.iter().enumerate() {
            write!(f, "{}{holder}", if number == 0 { "" } else { " and " })?;
        }
        if self.holders.is_empty() {
            f.write_str("a process that can't be found")?;
        }
        if self.holders.iter().all(|holder| holder.process.is_none()) {
            write!(f, " (on the node `ss -ltnp sport = :{port}` shows it)")?;
        }
        f.write_str("; stop it or give another --app-port or --metrics-port; ")?;
        f.write_str(self.requests.meanwhile())
    }
}

impl Requests {
    const fn meanwhile(self) -> &'static str {
        match self {
            Self::ToKube2iam => "it answers as a kube2iam does, so pods' requests go to it until it ends",
            Self::Dropped => "pods' requests are dropped until the port is free",
            Self::NotOurs => "this agent answers once the port is free",
        }
    }
}

/// The response of an address on which the port is held to `GET /healthz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAnswer {
    AsKube2iam,
    Otherwise,
    /// No response in time
    Nothing,
    /// Nothing listens on this address.
    Refused,
}

/// Whether the holder is kube2iam, from the responses of the addresses that requests would be redirected to and from
/// earlier checks. An agent that is too busy to respond in time is considered another program only after several
/// consecutive failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderJudgement {
    is_kube2iam: bool,
    unanswered: u32,
}

impl HolderJudgement {
    /// Before the first check the holder isn't trusted.
    pub const UNKNOWN: Self = Self { is_kube2iam: false, unanswered: 0 };

    pub fn is_kube2iam(self) -> bool {
        self.is_kube2iam
    }

    /// The judgement after another round of responses.
    pub fn after(self, answers: &[PortAnswer]) -> Self {
        if answers.contains(&PortAnswer::Otherwise) {
            return Self::UNKNOWN;
        }
        if answers.contains(&PortAnswer::Nothing) {
            let unanswered = self.unanswered.saturating_add(1);
            return Self { is_kube2iam: self.is_kube2iam && unanswered < MOST_UNANSWERED, unanswered };
        }
        Self { is_kube2iam: answers.contains(&PortAnswer::AsKube2iam), unanswered: 0 }
    }
}

/// Classifies a response to `GET /healthz`: kube2iam returns 200 and a JSON object with `hostIP` and `instanceId`.
pub fn read_health(answer: &[u8]) -> PortAnswer {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return PortAnswer::Otherwise };
    let is_ok = answer.starts_with(b"HTTP/1.1 200 ") || answer.starts_with(b"HTTP/1.0 200 ");
    let body = answer.get(end + 4..).unwrap_or_default();
    let object: Option<Value> = json::read(body).ok();
    let has = |key| object.as_ref().is_some_and(|object| object.get(key).is_some_and(Value::is_string));
    if is_ok && has("hostIP") && has("instanceId") { PortAnswer::AsKube2iam } else { PortAnswer::Otherwise }
}

/// The sockets that listen on `port`, from the lines of `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)).
pub fn listening(table: &str, port: u16) -> Vec<ListeningSocket> {
    let wanted = format!(":{port:04X}");
    let socket = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let is_wanted = local.ends_with(&wanted) && state == LISTEN;
        // Queues, timer and retransmits come between the state and the user.
        let (uid, inode) = (words.nth(3)?.parse().ok()?, words.nth(1)?.parse().ok()?);
        is_wanted.then_some(ListeningSocket { uid, inode })
    };
    table.lines().filter_map(socket).take(MOST_HOLDERS).collect()
}

/// `TCP_LISTEN` of the kernel's `tcp_states.h`
const LISTEN: &str = "0A";
/// Limit of sockets that are looked up.
const MOST_HOLDERS: usize = 4;
/// Rounds without a response after which a kube2iam is considered gone.
const MOST_UNANSWERED: u32 = 3;

#[cfg(test)]
mod tests;
