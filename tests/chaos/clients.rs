//! Pods that never stop asking, and the judge of what they get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube2iam::for_tests::Wall;

use super::site::{Pod, ROLES, Site};
use super::standins::Lab;
use super::standins::client::{Answer, Ask, Connection, TOKEN_HEADER, TTL_HEADER};
use super::standins::exchange::wall_now;
use super::standins::metadata::NODE_CANARY;
use super::standins::sts::Grant;

/// Whether a request may be left without any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The agent is there all the time and answers everything, be it by a refusal.
    Fault,
    /// It is killed, or has no means to answer: clients try again.
    Allowed,
}

/// Pods that ask until they are told to end.
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

struct Shared {
    server: SocketAddr,
    silence: Silence,
    ended: AtomicBool,
    /// Credentials that were got
    served: AtomicUsize,
}

impl Clients {
    pub fn start(server: SocketAddr, pods: &[Pod], site: &Arc<Site>, silence: Silence) -> Self {
        let (ended, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new(Shared { server, silence, ended, served });
        let threads = pods.iter().enumerate().map(|(index, pod)| {
            let (pod, other) = (pod.clone(), pods[(index + 1) % pods.len()].clone());
            let (shared, site) = (shared.clone(), site.clone());
            std::thread::spawn(move || shared.ask_on(&site.lab, &pod, &other))
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Credentials that were got so far.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Waits until so many more have been got, at most `limit`.
    pub fn go_on_for(&self, count: usize, limit: Duration) {
        let (goal, late) = (self.served() + count, Instant::now() + limit);
        while self.served() < goal && Instant::now() < late {
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends them; fails the test if one of them got what it should not.
    pub fn end(self) -> usize {
        self.shared.ended.store(true, Ordering::Relaxed);
        let faults: Vec<String> = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Asks for what pods ask for, and for what they should not, and gives what was wrong with the answers.
    fn ask_on(&self, lab: &Lab, pod: &Pod, other: &Pod) -> Vec<String> {
        let mut faults = Vec::new();
        let mut token = String::new();
        let foreign = if pod == other { String::new() } else { other.path() };
        for turn in (0..7).cycle() {
            if self.ended.load(Ordering::Relaxed) || faults.len() > 5 {
                break;
            }
            let ask = match turn {
                0 => Ask::get(ROLES),
                1 | 4 => Ask::get(&pod.path()),
                2 => Ask::new("PUT", "/latest/api/token").header(TTL_HEADER, "60"),
                3 => Ask::get(&pod.path()).header(TOKEN_HEADER, &token),
                5 if !foreign.is_empty() => Ask::get(&foreign),
                _ => Ask::get("/latest/meta-data/instance-id"),
            };
            let fault = match (try_send(self.server, &pod.address, &ask), turn) {
                (Err(_), _) if self.silence == Silence::Allowed => None,
                (Err(cause), _) => Some(format!("no answer: {cause}")),
                (Ok(answer), _) if answer.text().contains(NODE_CANARY) => Some("the node's own".to_owned()),
                (Ok(answer), 0) if answer.status == 200 && answer.text() != pod.role => {
                    Some(format!("another role: {}", answer.text()))
                }
                (Ok(answer), 1 | 3 | 4) if answer.status == 200 => {
                    self.served.fetch_add(1, Ordering::Relaxed);
                    judge(lab, pod, &answer).err()
                }
                (Ok(answer), 2) => {
                    token = if answer.status == 200 { answer.text() } else { String::new() };
                    None
                }
                (Ok(answer), 5) if answer.status == 200 && !foreign.is_empty() => {
                    Some(format!("another's credentials: {}", answer.text()))
                }
                (Ok(_), _) => None,
            };
            faults.extend(fault.map(|fault| format!("{pod:?} turn {turn}: {fault}")));
            // So that ports don't run out and the agent gets a share of the processor.
            std::thread::sleep(PAUSE);
        }
        faults
    }
}

/// Whether an answer is what STS granted for the pod's role, whole and not expired.
pub fn judge(lab: &Lab, pod: &Pod, answer: &Answer) -> Result<(), String> {
    let said: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|cause| cause.to_string())?;
    let field = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let (role, grant) =
        lab.sts.grant(&field("AccessKeyId")).ok_or_else(|| format!("granted by nobody: {}", answer.text()))?;
    if role != pod.arn() {
        return Err(format!("credentials of `{role}`"));
    }
    let whole = [grant.secret_access_key, grant.session_token, grant.expiration];
    if [field("SecretAccessKey"), field("Token"), field("Expiration")] != whole {
        return Err(format!("not what was granted: {}", answer.text()));
    }
    match Wall::parse_rfc3339(&field("Expiration")) {
        Some(end) if end > wall_now() => Ok(()),
        _ => Err(format!("expired at {}", wall_now().rfc3339())),
    }
}

pub fn try_get(server: SocketAddr, from: &str, path: &str) -> std::io::Result<Answer> {
    try_send(server, from, &Ask::get(path))
}

/// Sends it on a connection of its own; an error is one of the connection.
pub fn try_send(server: SocketAddr, from: &str, ask: &Ask) -> std::io::Result<Answer> {
    let mut connection = Connection::try_open(server, from)?;
    connection.set_deadline(Duration::from_secs(30));
    connection.send(&ask.clone().header("Connection", "close").to_bytes());
    connection.read_answer()
}

const PAUSE: Duration = Duration::from_millis(10);

/// The judge himself: what STS granted passes, and nothing else does.
#[test]
fn wrong_credentials_are_found_out() {
    let lab = Lab::start();
    let pod = Pod::number(1);
    let assume = |role: &str| {
        let form = format!("Action=AssumeRole&Version=2011-06-15&RoleSessionName=test&RoleArn={role}");
        let ask = Ask::new("POST", "/").header("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/sts/aws4_request");
        let answer = ask.body(form.as_bytes()).send(lab.sts.wire().address(), "127.0.0.1");
        assert_eq!(answer.status, 200, "{}", answer.text());
        lab.sts.calls().pop().and_then(|call| call.granted).unwrap()
    };
    let (own, other) = (assume(&pod.arn()), assume(&Pod::number(2).arn()));
    lab.sts.grant_for(Duration::ZERO);
    let expired = assume(&pod.arn());
    let judged = |key: &str, secret: &str, token: &str, end: &str| {
        let body =
            serde_json::json!({"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": end});
        judge(&lab, &pod, &Answer { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() })
    };
    let whole =
        |grant: &Grant| judged(&grant.access_key_id, &grant.secret_access_key, &grant.session_token, &grant.expiration);
    assert_eq!(whole(&own), Ok(()));
    for wrong in [
        whole(&other),
        whole(&expired),
        whole(&Grant { secret_access_key: other.secret_access_key.clone(), ..own.clone() }),
        whole(&Grant { access_key_id: "ASIAUNHEARDOF".to_owned(), ..own.clone() }),
        whole(&Grant { expiration: "2100-01-01T00:00:00Z".to_owned(), ..own }),
    ] {
        assert!(wrong.is_err(), "{wrong:?}");
    }
}
