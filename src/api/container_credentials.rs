//! One request for container credentials, end to end: verifies the token, looks up the pod that it identifies, and then
//! proceeds as for metadata requests.
//!
//! Verified tokens aren't cached: SDKs ask only a few times an hour, and the verification takes no lock and doesn't
//! block. A token is borrowed from the request while that is answered, and never stored.

use std::sync::Arc;

use crate::api::metadata::{Answer, Caller, Service};
use crate::logic::base::time::{Mono, Now};
use crate::logic::cluster::world::{HeldPod, World};
use crate::logic::identity::issuer_keys::IssuerKeys;
use crate::logic::identity::projected_token::{self, ProvenPod, TokenFault, TokenRules};
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Decided, Decision, Patience, Permitted, ProvenAsk, Rules, decide_proven};
use crate::logic::request::message::{Headers, Method, Request, Response, ShownToken};
use crate::logic::request::reply;
use crate::logic::request::route::{Route, UnreadHead};
use crate::logic::sessions::budget::Starter;
use crate::state::issuer_keys::{IssuerKeyring, KnownIssuer};
use crate::state::sessions::{RequestToken, SessionRequester};

/// The configuration for verifying tokens.
pub struct Proof {
    pub keys: Arc<IssuerKeyring>,
    /// A token must have one of these audiences.
    pub audiences: Vec<String>,
    /// `--node`
    pub node: Option<String>,
}

impl Service {
    /// Answers one request.
    pub(super) fn container_credentials(
        &self,
        proof: &Proof,
        request: &Request<'_>,
        caller: &Caller<'_>,
        began: Now,
    ) -> Response {
        let deadline = began.mono.after(self.wait_for_pod);
        let shown = request.headers.authorization;
        let (decided, answer) = match self.prove(proof, shown, deadline) {
            Err(reason) => (refused(reason), Answer::refuse(reason, &Route::ContainerCredentials)),
            Ok(proven) => {
                let ask = ProvenAsk {
                    proven: &proven,
                    peer: caller.peer,
                    node: proof.node.as_deref(),
                    patience: Patience::Left,
                    at: began.mono,
                };
                let (decided, at) = self.decide_proven_in_time(ask, deadline);
                let answer = match proved_pod(&decided).is_none_or(|pod| (caller.prove_pod)(&pod.uid)) {
                    true => self.answer_proven(ask, shown, &decided, at),
                    false => Answer::refuse(Reason::Busy, &Route::ContainerCredentials),
                };
                (decided, answer)
            }
        };
        self.telemetry.metrics.container.count_token(answer.reason);
        self.record(request, &Route::ContainerCredentials, caller.peer, decided, answer, began)
    }

    /// The response to a request for container credentials whose head is too long or invalid because of its token;
    /// `start` holds the bytes received. The same as for a valid head with a malformed token.
    pub fn answer_bad_token(&self, start: &[u8], caller: &Caller<'_>) -> Option<Response> {
        self.proof.as_ref()?;
        let seen = UnreadHead::of(start)?;
        // SDKs send `Host` before or after the token; if it wasn't received, it can't be checked.
        let headers = Headers { host: Some(seen.host.unwrap_or(b"localhost")), ..Headers::default() };
        let request = Request { method: Method::Get, target: seen.target, headers };
        let reason = match self.route(&request, caller) {
            Route::ContainerCredentials => Reason::TokenMalformed,
            Route::RefuseContainer(reason) => reason,
            _ => return None,
        };
        if reason == Reason::TokenMalformed {
            self.telemetry.metrics.container.count_token(Some(reason));
        }
        Some(reply::refusal(reason, &Route::ContainerCredentials))
    }

    /// Verifies the token. If its key is unknown or its issuer differs, the agent's copy of the issuer may be outdated,
    /// so the token is checked again with a newer copy.
    fn prove(&self, proof: &Proof, shown: Option<ShownToken<'_>>, deadline: Mono) -> Result<ProvenPod, Reason> {
        let shown = shown.ok_or(Reason::TokenMissing)?;
        let first = proof.keys.known();
        match self.check(proof, shown, &first) {
            Err(TokenFault::KeyUnknown | TokenFault::WrongIssuer) if proof.keys.is_newer_than(&first, deadline) => {
                let second = proof.keys.known();
                self.check(proof, shown, &second).map_err(|fault| reason_of(fault, &second))
            }
            checked => checked.map_err(|fault| reason_of(fault, &first)),
        }
    }

    fn check(&self, proof: &Proof, shown: ShownToken<'_>, known: &KnownIssuer) -> Result<ProvenPod, TokenFault> {
        let nothing = IssuerKeys::default();
        let (keys, issuer) = known.issuer.as_ref().map_or((&nothing, ""), |issuer| (&issuer.keys, &*issuer.name));
        let rules = TokenRules { keys, issuer, audiences: &proof.audiences };
        projected_token::check(shown.expose(), rules, self.clock.now().wall)
    }

    /// Decides, and while the decision is "not yet", decides again after each change of the World, until the deadline.
    fn decide_proven_in_time(&self, ask: ProvenAsk<'_>, deadline: Mono) -> (Decided<'static>, Now) {
        loop {
            let (seen, now) = (self.world.seen(), self.clock.now());
            let patience = if now.mono >= deadline { Patience::Exhausted } else { Patience::Left };
            let ask = ProvenAsk { patience, at: now.mono, ..ask };
            let decided = self.world.read(|world, rules| decide_proven(world, rules, ask));
            match (&decided.decision, &decided.pod) {
                (Decision::NotYet(Reason::PolicyPending), Some(pod)) => self.world.ask_for(pod),
                (Decision::NotYet(_), _) => {}
                _ => return (decided, now),
            }
            self.world.wait(seen, deadline);
        }
    }

    fn answer_proven(
        &self,
        ask: ProvenAsk<'_>,
        shown: Option<ShownToken<'_>>,
        decided: &Decided<'_>,
        at: Now,
    ) -> Answer {
        let route = &Route::ContainerCredentials;
        match &decided.decision {
            Decision::Assume(permitted, form) => {
                let is_still_right = |permitted: &Permitted| {
                    let again = |world: &World, rules: Option<&Rules>, patience: Patience, now: Now| {
                        decide_proven(world, rules, ProvenAsk { patience, at: now.mono, ..ask }).decision
                    };
                    self.decide_again(permitted, self.clock.now().mono.after(self.wait_for_pod), &again)
                };
                let token = shown.map(|shown| RequestToken { shown, expires: ask.proven.expires });
                let requester = SessionRequester { starter: Starter::Pod(permitted.pod().uid.clone()), token };
                self.assume(permitted, *form, route, requester, at, &is_still_right)
            }
            Decision::Refuse(reason) | Decision::NotYet(reason) => Answer::refuse(*reason, route),
            _ => Answer::refuse(Reason::Internal, route),
        }
    }
}

/// The pod of the token, unless the request came from another pod's address.
fn proved_pod<'a>(decided: &'a Decided<'_>) -> Option<&'a Arc<HeldPod>> {
    let is_stolen = matches!(decided.decision, Decision::Refuse(Reason::TokenOtherPod));
    decided.pod.as_ref().filter(|_| !is_stolen)
}

fn refused(reason: Reason) -> Decided<'static> {
    Decided { decision: Decision::Refuse(reason), pod: None, token_left: None, audited: None }
}

/// The reason for a token's fault. Without any keys, the signature can't be judged.
fn reason_of(fault: TokenFault, known: &KnownIssuer) -> Reason {
    match fault {
        TokenFault::Malformed => Reason::TokenMalformed,
        TokenFault::KeyUnknown if known.issuer.is_none() => Reason::KeysUnknown,
        TokenFault::KeyUnknown | TokenFault::WrongSignature => Reason::TokenUntrusted,
        TokenFault::WrongIssuer | TokenFault::WrongAudience => Reason::TokenAudience,
        TokenFault::Expired => Reason::TokenExpired,
        TokenFault::Unbound => Reason::TokenUnbound,
    }
}

#[cfg(test)]
mod tests;
