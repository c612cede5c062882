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
mod tests {
    use super::*;

    #[test]
    fn sockets_listening_on_the_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 271828 1 0000000000000000
   1: 0100007F:1FF6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000
   2: 0100007F:1FF5 0100007F:A0F2 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000
   3: short
   4: 00000000000000000000000000000000:1FF5 00000000000000000000000000000000:0000 0A 0:0 00:0 0 65532 0 31415 1 0
";
        let sockets = [(7, 271_828), (65_532, 31_415)].map(|(uid, inode)| ListeningSocket { uid, inode });
        assert_eq!(listening(table, 8181), sockets);
        assert_eq!(listening(table, 80), []);
    }

    #[test]
    fn only_a_health_response_of_kube2iam_is_recognised() {
        let answer = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nServer: x\r\n\r\n{body}").into_bytes();
        let health = r#"{"hostIP":"10.0.0.1","instanceId":""}"#;
        assert_eq!(read_health(&answer("200 OK", health)), PortAnswer::AsKube2iam);
        for other in [
            answer("500 Internal Server Error", health),
            answer("200 OK", ""),
            answer("200 OK", r#"{"hostIP":"10.0.0.1"}"#),
            answer("200 OK", r#"{"hostIP":"10.0.0.1","instanceId":7}"#),
            answer("200 OK", r#"["hostIP","instanceId"]"#),
            answer("200 OK", r#""hostIP instanceId""#),
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(read_health(&other), PortAnswer::Otherwise, "{}", String::from_utf8_lossy(&other));
        }
    }

    #[test]
    fn another_program_on_any_address_counts_at_once_and_silence_after_three_rounds() {
        use PortAnswer::{AsKube2iam, Nothing, Otherwise, Refused};
        let judge = |rounds: &[&[PortAnswer]]| {
            rounds.iter().fold(HolderJudgement::UNKNOWN, |judgement, answers| judgement.after(answers)).is_kube2iam()
        };
        for (rounds, wanted) in [
            (&[][..], false),
            (&[&[AsKube2iam][..]], true),
            (&[&[AsKube2iam, Refused]], true),
            (&[&[AsKube2iam, Otherwise]], false),
            (&[&[Refused, Refused]], false),
            (&[&[Nothing]], false),
            (&[&[AsKube2iam], &[Nothing], &[AsKube2iam, Nothing]], true),
            (&[&[AsKube2iam], &[Nothing], &[Nothing], &[Nothing]], false),
            (&[&[AsKube2iam], &[Nothing], &[AsKube2iam], &[Nothing], &[Nothing]], true),
            (&[&[AsKube2iam], &[Otherwise]], false),
            (&[&[AsKube2iam], &[Refused]], false),
            (&[&[Nothing], &[AsKube2iam]], true),
        ] {
            assert_eq!(judge(rounds), wanted, "{rounds:?}");
        }
    }

    #[test]
    fn the_message_names_the_process_unless_it_is_invisible() {
        let process = HolderProcess { pid: 7, command: "ng\u{1b}inx".to_owned() };
        let seen = PortHolder { uid: 0, process: Some(process) };
        let unseen = PortHolder { uid: 65_532, process: None };
        let text = |holders: Vec<PortHolder>, requests| {
            TakenPort { port: 8181, missing_address: None, holders, judgement: HolderJudgement::UNKNOWN, requests }
                .to_string()
        };
        let known = text(vec![seen.clone()], Requests::Dropped);
        assert!(known.starts_with("port 8181 is held by process 7 (`ng\\u{1b}inx`) of user 0; stop it"), "{known}");
        assert!(known.ends_with("pods' requests are dropped until the port is free"), "{known}");
        let unknown = text(vec![unseen.clone()], Requests::ToKube2iam);
        assert!(unknown.contains("a process of user 65532 that can't be seen from here (on the node `ss -ltnp"));
        assert!(text(vec![seen, unseen], Requests::NotOurs).contains("of user 0 and a process of user 65532"));
        assert!(text(vec![], Requests::NotOurs).contains("a process that can't be found (on the node `ss"));
    }
}
