//! Twenty pods that never stop asking: each request on a connection of its own, with a token of the first agent. Every
//! other pod takes its time between connecting and asking, as a pod does whose share of the processor is spent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::standins::PATIENCE;
use crate::standins::client::{Ask, Connection, TOKEN_HEADER, TTL_HEADER, token};
use crate::{CREDENTIALS, PODS, ROLES, address};

/// A load that runs until it is ended.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    answered: AtomicUsize,
}

/// What came of it.
pub struct Tally {
    pub answered: usize,
    /// What went wrong, for each request that did.
    pub failures: Vec<String>,
}

/// Whether clients bear tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    Borne,
    None,
}

impl Load {
    pub fn start(server: SocketAddr, tokens: Tokens) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (1..=PODS).map(|number| {
            let shared = shared.clone();
            let from = address(number);
            let hesitation = if number % 2 == 0 { Duration::ZERO } else { HESITATION };
            let token = (tokens == Tokens::Borne).then(|| token(server, &from));
            std::thread::spawn(move || shared.ask_on(server, &from, token.as_deref(), hesitation))
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Waits until so many more requests have been answered.
    pub fn go_on_for(&self, requests: usize) {
        let goal = self.shared.answered.load(Ordering::Relaxed) + requests;
        let late = Instant::now() + PATIENCE;
        while self.shared.answered.load(Ordering::Relaxed) < goal && Instant::now() < late {
            std::thread::sleep(PAUSE);
        }
    }

    pub fn end(self) -> Tally {
        self.shared.ended.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        Tally { answered: self.shared.answered.load(Ordering::Relaxed), failures }
    }
}

impl Shared {
    fn ask_on(&self, server: SocketAddr, from: &str, token: Option<&str>, hesitation: Duration) -> Vec<String> {
        let mut failures = Vec::new();
        for path in [ROLES, CREDENTIALS].iter().cycle() {
            if self.ended.load(Ordering::Relaxed) {
                break;
            }
            match ask_once(server, from, path, token, hesitation) {
                Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                Err(cause) => failures.push(format!("{from} {path}: {cause}")),
            }
            // So that ports don't run out and the agents get a share of two cores.
            std::thread::sleep(PAUSE);
        }
        failures
    }
}

fn ask_once(
    server: SocketAddr,
    from: &str,
    path: &str,
    token: Option<&str>,
    hesitation: Duration,
) -> Result<(), String> {
    let mut ask = Ask::get(path).header("Connection", "close");
    if let Some(token) = token {
        ask = ask.header(TOKEN_HEADER, token);
    }
    let mut connection = Connection::try_open(server, from).map_err(|cause| format!("no connection: {cause}"))?;
    if !hesitation.is_zero() {
        std::thread::sleep(hesitation);
    }
    connection.send(&ask.to_bytes());
    let answer = connection.read_answer().map_err(|cause| format!("no answer: {cause}"))?;
    if token.is_some() && answer.header(TTL_HEADER).is_none() {
        return Err("the token isn't known".to_owned());
    }
    if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
}

const PAUSE: Duration = Duration::from_millis(2);
const HESITATION: Duration = Duration::from_millis(5);
