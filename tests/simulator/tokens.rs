//! Session tokens: each is good for the pod that fetched it and for nobody else, whichever agent made it.

use std::net::IpAddr;

use kube2iam::for_tests::{Headers, Method, Request, Response};

use crate::agent::Agent;
use crate::pods::{Ask, text};
use crate::random::Random;
use crate::sim::Sim;

/// A token, and the pod that fetched it.
pub struct Token {
    text: String,
    peer: IpAddr,
    uid: String,
}

/// Fetches a token; `None`: it isn't certain which pod it is for.
pub fn fetch(sim: &Sim, agent: &Agent, peer: IpAddr) -> Option<Token> {
    let headers = Headers { token_ttl: Some(b"21600"), ..Headers::default() };
    let ask = Ask::begin(sim, agent, peer, "");
    let response = ask.send(&Request { method: Method::Put, target: "/latest/api/token", headers });
    let status = response.status;
    if status != 200 {
        ask.blame("a token is its pod's and stays good", &format!("none is given but {status}"));
        return None;
    }
    // One that is for an address, whose pod the agent doesn't know yet, ends soon.
    let is_lasting = ttl(&response) == Some("21600");
    let (uid, _) = ask.settled()?;
    is_lasting.then(|| Token { text: text(response), peer, uid })
}

/// Shows a token where it was fetched, or elsewhere.
pub fn show(sim: &Sim, agent: &Agent, token: &Token, random: &mut Random, elsewhere: IpAddr) {
    let peer = if random.one_in(4) { elsewhere } else { token.peer };
    let headers = Headers { token: Some(token.text.as_bytes()), ..Headers::default() };
    let ask = Ask::begin(sim, agent, peer, "");
    let target = "/latest/meta-data/iam/security-credentials/";
    let response = ask.send(&Request { method: Method::Get, target, headers });
    // Under keys that are gone by now a token counts as none: the answer doesn't say how long it is still good.
    let is_taken = ttl(&response).is_some();
    let Some((uid, _)) = ask.settled() else { return };
    if uid != token.uid && is_taken {
        ask.blame("a token is its pod's and stays good", &format!("that of {} was taken from {uid}", token.uid));
    }
    // A clock that jumps may end any token.
    if uid == token.uid && !is_taken && !sim.swarm.clock_jumps {
        ask.blame("a token is its pod's and stays good", &format!("that of {uid} isn't taken"));
    }
}

/// How long the token is good, as the answer says.
fn ttl(response: &Response) -> Option<&str> {
    let found = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TOKEN_TTL));
    found.map(|(_, seconds)| seconds.as_str())
}

const TOKEN_TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";
