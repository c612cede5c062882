//! The pods' programs: they ask for credentials and whatever else, and every answer is judged.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use kube2iam::for_tests::{CONTAINER_ADDRESS, Caller, Headers, Method, Request, Response};
use serde_json::Value;

use crate::agent::Agent;
use crate::by_token;
use crate::cluster::states;
use crate::director::ROLES;
use crate::random::Random;
use crate::secrets::CANARY;
use crate::sim::Sim;
use crate::tokens;
use crate::truth::{Asking, Due, OWN_ROLE, Window, arn, given};

thread_local! {
    static PEER: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// The pod whose request this thread carries.
pub fn asking_as() -> Option<IpAddr> {
    PEER.get()
}

/// Asks now and then until the run is over.
pub fn ask_away(sim: &Arc<Sim>, mut random: Random) {
    let (addresses, mut tokens) = (sim.addresses(), Vec::new());
    while !sim.is_over() {
        sim.stage.pause(sim.swarm.rest(&mut random));
        let serving = sim.serving();
        if serving.is_empty() {
            sim.stage.pause(100_000);
            continue;
        }
        let agent = random.pick(&serving).clone();
        let peer = some_peer(sim, &mut random, &addresses);
        let name = if random.one_in(8) { (*random.pick(&ROLES)).to_owned() } else { likely_role(sim, peer) };
        if sim.swarm.by_token && random.one_in(2) {
            by_token::ask_as_some(sim, &agent, &mut random);
            continue;
        }
        match random.roll(12) {
            2 if tokens.len() < MOST_TOKENS => tokens.extend(tokens::fetch(sim, &agent, peer)),
            3 if !tokens.is_empty() => {
                let token = random.index(tokens.len());
                tokens::show(sim, &agent, &tokens[token], &mut random, peer);
            }
            0 => ask_name(sim, &agent, peer),
            1 => drop(Ask::begin(sim, &agent, peer, "").get("/latest/meta-data/hostname")),
            _ => drop(ask_document(sim, &agent, peer, &name)),
        }
    }
}

/// Mostly one that a pod has.
fn some_peer(sim: &Sim, random: &mut Random, addresses: &[IpAddr]) -> IpAddr {
    let truth = sim.truth.lock();
    let held: Vec<IpAddr> = truth.cluster.living().flat_map(|(_, pod)| pod.addresses.clone()).collect();
    if held.is_empty() || random.one_in(5) { *random.pick(addresses) } else { *random.pick(&held) }
}

/// The role that an SDK at `peer` asks for.
pub fn likely_role(sim: &Sim, peer: IpAddr) -> String {
    let truth = sim.truth.lock();
    let pod = truth.cluster.living().map(|(_, pod)| pod).find(|pod| pod.holds(peer));
    let role = pod.and_then(|pod| {
        let default = truth.cluster.namespace(&pod.namespace).and_then(|namespace| namespace.default_role.clone());
        pod.role.clone().or(default)
    });
    role.unwrap_or_else(|| ROLES[0].to_owned())
}

/// A request, and what was so when it began.
pub struct Ask<'a> {
    pub sim: &'a Sim,
    agent: &'a Agent,
    asking: Asking,
    step: u64,
    began: u64,
    slept: u64,
    knew_all: bool,
}

impl<'a> Ask<'a> {
    pub fn begin(sim: &'a Sim, agent: &'a Agent, peer: IpAddr, role: &str) -> Self {
        let role = if role.is_empty() { String::new() } else { arn(role) };
        let asking = Asking { agent: agent.number, peer, role };
        let step = sim.stage.steps();
        let knew_all = agent.knows_all() && !agent.is_closed();
        Self { sim, agent, asking, step, began: sim.stage.now(), slept: sim.stage.slept(), knew_all }
    }

    fn get(&self, target: &str) -> Response {
        self.send(&Request { method: Method::Get, target, headers: Headers::default() })
    }

    pub fn send(&self, request: &Request<'_>) -> Response {
        self.sim.truth.lock().asking.push(self.asking.clone());
        PEER.set(Some(self.asking.peer));
        let caller = Caller {
            peer: self.asking.peer,
            is_redirected: &|| true,
            local: &|| request.headers.authorization.map(|_| CONTAINER_ADDRESS),
            is_node: &|| false,
            prove_pod: &|_| true,
        };
        let response = self.agent.state.service.handle(request, &caller);
        PEER.set(None);
        let mut truth = self.sim.truth.lock();
        let at = truth.asking.iter().position(|asking| *asking == self.asking).expect("it was put there");
        truth.asking.remove(at);
        truth.answers += 1;
        drop(truth);
        let took = self.sim.stage.now() - self.began - (self.sim.stage.slept() - self.slept);
        if took > LONGEST_REQUEST {
            self.blame("every request is answered in its time", &format!("{} took {took} us", request.target));
        }
        response
    }

    pub fn blame(&self, promise: &'static str, text: &str) {
        let Asking { agent, peer, role } = &self.asking;
        self.sim.stage.blame(promise, &format!("{peer} asked agent {agent} for `{role}` at {} us: {text}", self.began));
    }

    pub fn window(&self) -> Window {
        self.sim.truth.lock().window(self.agent.number, self.step)
    }

    /// The one pod that held the address all the time, and what it may have had; `None`: there was no such pod, or
    /// the agent didn't yet know all.
    pub fn settled(&self) -> Option<(String, BTreeSet<Due>)> {
        let window = self.window();
        let truth = self.sim.truth.lock();
        self.knew_all.then(|| truth.settled(&self.sim.swarm, window, self.asking.peer)).flatten()
    }

    /// Whether the agent knew all that it has to know when the request began.
    pub fn knew_all(&self) -> bool {
        self.knew_all
    }

    pub fn is_world_too_old(&self) -> bool {
        self.sim.truth.lock().is_too_old(self.agent.number, self.sim.stage.now())
    }
}

pub fn text(response: Response) -> String {
    response.body.into_text().unwrap()
}

fn ask_name(sim: &Sim, agent: &Agent, peer: IpAddr) {
    let ask = Ask::begin(sim, agent, peer, "");
    let response = ask.get("/latest/meta-data/iam/security-credentials/");
    let (status, name) = (response.status, text(response));
    if sim.swarm.by_token {
        return by_token::judge_name(&ask, status);
    }
    let settled = ask.settled().map(|(_, dues)| dues);
    let window = ask.window();
    let truth = sim.truth.lock();
    let role_of = |due: &Due| match due {
        Due::Session { role, .. } => Some(role.clone()),
        Due::Nothing => None,
    };
    let may = truth.claims(&sim.swarm, window, peer).iter().any(|(_, due)| role_of(due) == Some(arn(&name)));
    drop(truth);
    // Until the agent knows its own role it may tell the name, which opens nothing.
    if status == 200 && !may && arn(&name) != arn(OWN_ROLE) {
        ask.blame("only what is permitted is given", &format!("named `{name}`"));
    }
    let due = settled.as_ref().filter(|settled| settled.len() == 1).and_then(BTreeSet::first);
    if let Some(Due::Session { role, .. }) = due
        && status != 200
        && !agent.is_closed()
        && !(status == 503 && ask.is_world_too_old())
    {
        ask.blame("a known pod is answered", &format!("{status} {name} instead of the name of {role}"));
    }
}

/// Asks for credentials; gives the status and, if there are none, the reason.
pub fn ask_document(sim: &Sim, agent: &Agent, peer: IpAddr, role: &str) -> (u16, String) {
    if sim.swarm.by_token {
        return by_token::ask_as_holder(sim, agent, peer);
    }
    let ask = Ask::begin(sim, agent, peer, role);
    let response = ask.get(&format!("/latest/meta-data/iam/security-credentials/{role}"));
    let (status, body) = (response.status, text(response));
    if status == 200 {
        judge_session(&ask, &body);
        return (200, String::new());
    }
    let word = body.trim().to_owned();
    if body.contains(CANARY) {
        ask.blame("only what is permitted is given", "a refusal that holds a secret");
    }
    judge_refusal(&ask, status, &word);
    (status, word)
}

fn judge_session(ask: &Ask<'_>, body: &str) {
    let document: Value = serde_json::from_str(body).unwrap();
    let id = document["AccessKeyId"].as_str().unwrap();
    let (sim, now) = (ask.sim, ask.sim.stage.now());
    let Some(mint) = sim.truth.lock().mints.get(id).cloned() else {
        return ask.blame("only what is permitted is given", &format!("`{id}`, which STS never gave"));
    };
    sim.stage.note(&format!("{} gets {id}", ask.asking.peer));
    if mint.ends <= now {
        ask.blame("nothing expired is served", &format!("{id} ended {} us ago", now - mint.ends));
    }
    let window = ask.window();
    let mut truth = sim.truth.lock();
    truth.sessions += 1;
    let due = given(&mint.request);
    let claims = truth.claims(&sim.swarm, window, ask.asking.peer);
    let owners: Vec<&str> = claims.iter().filter(|(_, may)| *may == due).map(|(uid, _)| *uid).collect();
    let is_due = mint.request.role.as_str() == ask.asking.role && !owners.is_empty();
    let claims = format!("{claims:?}");
    // Somebody else had the address all the time and had no thought of leaving: then it was nobody's to ask from.
    let others = truth.cluster.pods.iter().filter(|(uid, _)| !owners.contains(&uid.as_str()));
    let stayed = others.filter(|(uid, _)| !truth.may_lack_pod(window, uid)).filter(|(_, history)| {
        let mut shown = states(history, window.pods().0, window.pods().1);
        shown.all(|pod| pod.is_some_and(|pod| pod.holds(ask.asking.peer) && !pod.deleting))
    });
    let is_contested = !sim.swarm.live_lists && stayed.count() > 0;
    // What took waiting is looked at once more.
    let now_claimed = truth.claims(&sim.swarm, truth.window(ask.agent.number, sim.stage.steps()), ask.asking.peer);
    let is_outdated = mint.at > ask.began && !now_claimed.iter().any(|(_, may)| *may == due);
    drop(truth);
    if is_outdated {
        ask.blame("what changed during the wait is not handed out", &format!("{due:?}"));
    }
    if !is_due {
        ask.blame("only what is permitted is given", &format!("{due:?} to {claims} in {window:?}"));
    }
    if is_contested {
        ask.blame("only what is permitted is given", "to one of two that claim the address");
    }
    // Time moves only when everybody waits: whoever waited for this call has it in the same moment.
    if mint.at >= ask.began && mint.at < now && ask.settled().is_some() {
        ask.blame("nobody is stranded", &format!("{id} was there {} us ago", now - mint.at));
    }
}

fn judge_refusal(ask: &Ask<'_>, status: u16, word: &str) {
    let (sim, now) = (ask.sim, ask.sim.stage.now());
    sim.stage.note(&format!("{} gets {status} {word}", ask.asking.peer));
    let Some((_, settled)) = ask.settled().filter(|(_, dues)| dues.len() == 1) else { return };
    let Some(Due::Session { role, .. }) = settled.first() else { return };
    if *role != ask.asking.role || ask.agent.is_closed() {
        return;
    }
    let is_stale = word == "world_stale" && ask.is_world_too_old();
    if !EXCUSES.contains(&word) && !is_stale {
        ask.blame("a known pod is answered", &format!("{status} {word} in {:?}", ask.window()));
    }
    if word == "sts_timeout" {
        let truth = sim.truth.lock();
        let waited = |at: u64| at > ask.began && at < now && now - at < PATIENCE;
        let due = settled.first();
        let done = truth
            .finished
            .iter()
            .rev()
            .take_while(|(_, _, at)| *at > ask.began)
            .any(|(agent, request, at)| *agent == ask.agent.number && Some(&given(request)) == due && waited(*at));
        drop(truth);
        if done {
            ask.blame("nobody is stranded", "the call it waited for was done before it gave up");
        }
    }
}

/// Refusals for which a pod may be answered that should have its session, while there is trouble.
const EXCUSES: [&str; 5] = ["sts_refused", "sts_throttled", "sts_unavailable", "sts_timeout", "busy"];
/// Tokens that a program keeps
const MOST_TOKENS: usize = 8;
/// What a request waits for STS.
const PATIENCE: u64 = 5_000_000;
/// The wait for the pod, a live list that began at its end, and the wait for STS (manifests/docs/operate.md, "Limits").
const LONGEST_REQUEST: u64 = 900_000 + 1_000_000 + PATIENCE;
