//! The same day where calls to STS bear the pods' tokens: pods show theirs, and nothing is done in the node's name.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kube2iam::for_tests::{
    Headers, IssuerDiscovery, IssuerDocuments, KubernetesFailure, KubernetesFailureKind, Method, Request, ShownToken,
};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::ACCOUNT;
use crate::pods::{Ask, text};
use crate::random::Random;
use crate::sim::Sim;
use crate::truth::{Due, given};

/// The issuer's documents as one agent reads them.
pub struct SimIssuer(pub Arc<Sim>);

impl IssuerDiscovery for SimIssuer {
    fn issuer_documents(&self) -> Result<IssuerDocuments, KubernetesFailure> {
        self.0.stage.pause(self.0.roll(50_000) + 1);
        if self.0.strikes(|swarm| swarm.refusals, 3) {
            let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
            return Err(KubernetesFailure { kind, cause: "as the seed wants it".to_owned() });
        }
        let configuration = json!({ "issuer": ISSUER }).to_string();
        Ok(IssuerDocuments { configuration, key_set: self.0.issuer.key_set_json() })
    }
}

/// A pod's token, good for ten minutes.
fn token(sim: &Sim, uid: &str, namespace: &str, name: &str) -> String {
    let now_s = sim.stage.wall_ms() / 1_000;
    sim.issuer.sign(&json!({
        "aud": ["kube2iam"], "iss": ISSUER, "exp": now_s + 600, "nbf": now_s - 1,
        "kubernetes.io": {
            "namespace": namespace, "pod": { "name": name, "uid": uid },
            "serviceaccount": { "name": ACCOUNT, "uid": "u" },
        },
    }))
}

/// Some pod that runs asks for its credentials.
pub fn ask_as_some(sim: &Sim, agent: &Agent, random: &mut Random) {
    let running: Vec<String> = {
        let truth = sim.truth.lock();
        let running = truth.cluster.living().filter(|(_, pod)| !pod.finished);
        running.map(|(uid, _)| uid.to_owned()).collect()
    };
    if !running.is_empty() {
        ask(sim, agent, &random.pick(&running).clone());
    }
}

/// Asks with the token of the pod that holds `address`; gives the status and, if there are none, the reason.
pub fn ask_as_holder(sim: &Sim, agent: &Agent, address: IpAddr) -> (u16, String) {
    let holder = {
        let truth = sim.truth.lock();
        let holder = truth.cluster.living().find(|(_, pod)| pod.holds(address));
        holder.map(|(uid, _)| uid.to_owned())
    };
    holder.map_or((404, "nobody asks".to_owned()), |uid| ask(sim, agent, &uid))
}

/// At the metadata address there is no way to credentials, whoever asks.
pub fn judge_name(ask: &Ask<'_>, status: u16) {
    if status == 200 {
        ask.blame("only what is permitted is given", "a role is named where no token can be shown");
    }
}

fn ask(sim: &Sim, agent: &Agent, uid: &str) -> (u16, String) {
    let (namespace, shown) = {
        let truth = sim.truth.lock();
        let Some((_, pod)) = truth.cluster.living().find(|(living, _)| *living == uid) else {
            return (404, "it is gone".to_owned());
        };
        (pod.namespace.clone(), token(sim, uid, &pod.namespace, &pod.name))
    };
    let headers = Headers {
        host: Some(b"169.254.170.2:8181"),
        authorization: Some(ShownToken::new(shown.as_bytes())),
        ..Headers::default()
    };
    let ask = Ask::begin(sim, agent, SOMEWHERE, "");
    let response = ask.send(&Request { method: Method::Get, target: "/v1/credentials", headers });
    let (status, body) = (response.status, text(response));
    let document: Value = serde_json::from_str(&body).unwrap();
    if status == 200 {
        judge_session(&ask, uid, &namespace, &document);
        return (200, String::new());
    }
    let word = document["code"].as_str().unwrap().to_owned();
    judge_refusal(&ask, uid, status, &word);
    (status, word)
}

fn judge_session(ask: &Ask<'_>, uid: &str, namespace: &str, document: &Value) {
    let id = document["AccessKeyId"].as_str().unwrap();
    let (sim, now) = (ask.sim, ask.sim.stage.now());
    let Some(mint) = sim.truth.lock().mints.get(id).cloned() else {
        return ask.blame("only what is permitted is given", &format!("`{id}`, which STS never gave"));
    };
    sim.stage.note(&format!("{uid} gets {id}"));
    if mint.ends <= now {
        ask.blame("nothing expired is served", &format!("{id} ended {} us ago", now - mint.ends));
    }
    let window = ask.window();
    let mut truth = sim.truth.lock();
    truth.sessions += 1;
    let may = truth.may_have(&sim.swarm, window, uid);
    drop(truth);
    let subject = mint.request.subject.as_ref();
    let is_its_own = subject.is_some_and(|to| *to.namespace == *namespace && *to.service_account == *ACCOUNT);
    if !is_its_own || !may.contains(&given(&mint.request)) {
        ask.blame("only what is permitted is given", &format!("{:?} to {uid}, which may have {may:?}", mint.request));
    }
}

fn judge_refusal(ask: &Ask<'_>, uid: &str, status: u16, word: &str) {
    ask.sim.stage.note(&format!("{uid} gets {status} {word}"));
    let window = ask.window();
    let dues = ask.sim.truth.lock().settled_pod(&ask.sim.swarm, window, uid).filter(|_| ask.knew_all());
    let due = dues.filter(|dues| dues.len() == 1).as_ref().and_then(BTreeSet::first).cloned();
    if !matches!(due, Some(Due::Session { .. })) {
        return;
    }
    let is_stale = word == "world_stale" && ask.is_world_too_old();
    // A clock that jumps may end any token.
    let is_expired = word == "token_expired" && ask.sim.swarm.clock_jumps;
    if !EXCUSES.contains(&word) && !is_stale && !is_expired {
        ask.blame("a known pod is answered", &format!("{uid} gets {status} {word} instead of {due:?} in {window:?}"));
    }
}

/// Refusals for which a pod may be answered that should have its session, while there is trouble.
const EXCUSES: [&str; 6] =
    ["sts_refused", "sts_throttled", "sts_unavailable", "sts_timeout", "sts_token_expired", "busy"];
const ISSUER: &str = "https://cluster";
/// No pod has it.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
