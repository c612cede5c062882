//! Session tokens: each is good for the pod that fetched it and for nobody else, whichever agent made it.

use std::net::IpAddr;

use kube2iam::logic::http::{Headers, Method, Request};

use crate::agent::Agent;
use crate::dice::Dice;
use crate::pods::{Ask, text};
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
    let (uid, _) = ask.settled()?;
    Some(Token { text: text(response), peer, uid })
}

/// Shows a token where it was fetched, or elsewhere.
pub fn show(sim: &Sim, agent: &Agent, token: &Token, dice: &mut Dice, elsewhere: IpAddr) {
    let peer = if dice.one_in(4) { elsewhere } else { token.peer };
    let headers = Headers { token: Some(token.text.as_bytes()), ..Headers::default() };
    let ask = Ask::begin(sim, agent, peer, "");
    let target = "/latest/meta-data/iam/security-credentials/";
    let response = ask.send(&Request { method: Method::Get, target, headers });
    let is_refused = response.status == 401;
    let Some((uid, _)) = ask.settled() else { return };
    if uid != token.uid && !is_refused {
        ask.blame("a token is its pod's and stays good", &format!("that of {} was taken from {uid}", token.uid));
    }
    // A clock that jumps may end any token.
    if uid == token.uid && is_refused && !sim.swarm.clock_jumps {
        ask.blame("a token is its pod's and stays good", &format!("that of {uid} was refused"));
    }
}
