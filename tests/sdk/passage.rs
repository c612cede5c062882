//! The way from one program to the agent: passes every byte on as it is, gives the program a pod's address, and notes
//! what was asked and answered.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::standins::client::Connection;
use crate::standins::wire::spawn;

/// What happens on the way.
#[derive(Default)]
pub struct Way {
    /// Token requests are answered here, with 405, as by a service of the first version.
    pub refuses_tokens: bool,
    /// Done after the agent has told the role and before the program hears of it.
    pub after_list: Option<Box<dyn Fn() + Send + Sync>>,
}

/// An open way, closed when dropped.
pub struct Passage {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    agent: SocketAddr,
    pod: String,
    way: Way,
    closed: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Since they were last taken.
    calls: Vec<Call>,
    /// What the agent gave out and no log may hold.
    secrets: Vec<String>,
    /// Connections
    open: usize,
}

impl Passage {
    pub fn open(agent: SocketAddr, pod: &str, way: Way) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a passage");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (pod, closed, notes) = (pod.to_owned(), AtomicBool::default(), Mutex::default());
        let shared = Arc::new(Shared { agent, pod, way, closed, notes });
        let accepting = shared.clone();
        spawn("passage", move || {
            for program in listener.incoming().flatten().take_while(|_| !accepting.closed.load(Ordering::SeqCst)) {
                let shared = accepting.clone();
                spawn("passage", move || shared.serve(program));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The calls since this was last asked.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared.notes.lock().calls)
    }

    /// Whether nobody is connected any more.
    pub fn is_quiet(&self) -> bool {
        self.shared.notes.lock().open == 0
    }

    /// Every secret key, session token and metadata token that came by.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.notes.lock().secrets.clone()
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// One connection of the program and one to the agent, both to the end of either.
    fn serve(self: Arc<Self>, mut program: TcpStream) {
        self.notes.lock().open += 1;
        match Connection::try_open(self.agent, &self.pod) {
            Ok(agent) => {
                let stream = agent.stream().try_clone().expect("clone a socket");
                let (asked, to_answer) = channel();
                let (answering, out) = (self.clone(), program.try_clone().expect("clone a socket"));
                spawn("passage", move || answering.pass_answers(agent, &to_answer, &out));
                self.pass_requests(&mut program, stream, &asked);
            }
            Err(_) => {
                if let Some(request) = read_head(&mut program) {
                    self.note(About::of(&request), None);
                }
                let _ = program.shutdown(Shutdown::Both);
            }
        }
        self.notes.lock().open -= 1;
    }

    fn pass_requests(&self, program: &mut TcpStream, mut agent: TcpStream, asked: &Sender<About>) {
        while let Some(request) = read_head(program) {
            let about = About::of(&request);
            if self.way.refuses_tokens && request.starts_with(b"PUT ") {
                self.note(about, Some(FIRST_VERSION));
                let _ = program.write_all(FIRST_VERSION);
                break;
            }
            let _ = asked.send(about);
            if agent.write_all(&request).is_err() {
                break;
            }
        }
        let _ = agent.shutdown(Shutdown::Both);
        let _ = program.shutdown(Shutdown::Both);
    }

    /// When the agent hangs up, the program is hung up on at once, as it would be without us.
    fn pass_answers(&self, mut agent: Connection, to_answer: &Receiver<About>, mut program: &TcpStream) {
        agent.set_deadline(LONG);
        while let Ok(answer) = agent.read_raw_answer() {
            let about = to_answer.try_recv().expect("answers follow requests");
            let told_role = matches!(about, About::List | About::ExtendedList);
            self.note(about, Some(&answer));
            if told_role && let Some(work) = &self.way.after_list {
                work();
            }
            if program.write_all(&answer).is_err() {
                break;
            }
        }
        to_answer.try_iter().for_each(|about| self.note(about, None));
        let _ = program.shutdown(Shutdown::Both);
    }

    fn note(&self, about: About, answer: Option<&[u8]>) {
        let answer = answer.map(String::from_utf8_lossy);
        let status = answer.as_ref().and_then(|text| text.split(' ').nth(1)?.parse().ok());
        let mut notes = self.notes.lock();
        if let (Some(200), Some((_, body))) = (status, answer.as_ref().and_then(|text| text.split_once("\r\n\r\n"))) {
            notes.secrets.extend((about == About::Token).then(|| body.to_owned()));
            let document: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let secrets = ["SecretAccessKey", "Token"].into_iter().filter_map(|key| document[key].as_str());
            notes.secrets.extend(secrets.map(str::to_owned));
        }
        notes.calls.push(Call { about, status });
    }
}

/// What a request is about, in the order in which an SDK comes to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    Token,
    ExtendedList,
    ExtendedCredentials,
    List,
    Credentials,
    Other(String),
}

/// A request and the status it was answered with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    about: About,
    status: Option<u16>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.about {
            About::Token => "token",
            About::ExtendedList => "extended list",
            About::ExtendedCredentials => "extended credentials",
            About::List => "list",
            About::Credentials => "credentials",
            About::Other(target) => target,
        })?;
        match self.status {
            Some(status) => write!(f, " {status}"),
            None => f.write_str(" unreachable"),
        }
    }
}

impl About {
    fn of(request: &[u8]) -> Self {
        let head = String::from_utf8_lossy(request);
        let target = head.split(' ').nth(1).unwrap_or_default();
        let below = |path: &str| target.strip_prefix(path).map(|rest| !rest.is_empty());
        match (target, below(LIST), below(EXTENDED_LIST)) {
            ("/latest/api/token", ..) => Self::Token,
            (_, Some(below), _) => [Self::List, Self::Credentials][usize::from(below)].clone(),
            (.., Some(below)) => [Self::ExtendedList, Self::ExtendedCredentials][usize::from(below)].clone(),
            _ => Self::Other(target.to_owned()),
        }
    }
}

/// A request without a body; `None` at the end of the connection.
fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

const LIST: &str = "/latest/meta-data/iam/security-credentials/";
const EXTENDED_LIST: &str = "/latest/meta-data/iam/security-credentials-extended/";
const FIRST_VERSION: &[u8] = b"HTTP/1.1 405 Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Longer than any connection lasts here.
const LONG: Duration = Duration::from_secs(120);
