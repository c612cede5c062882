//! One request, end to end: [`Service::handle`] is the only function that contains every step.
//!
//! It finds the route, decides with one read of the World, and carries out the decision. Answers from memory never
//! wait; a request of an unknown pod waits for the watch, and one for uncached credentials waits for STS, each up to a
//! deadline. After a wait, the answer is sent only if the decision is still the same.

mod answer;
mod duplicates;
mod forwards;
mod pages;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::api::container_credentials::Proof;
use crate::logic::base::time::{Mono, Now};
use crate::logic::cluster::world::{HeldPod, World};
use crate::logic::identity::metadata_token::{Bearer, parse_ttl};
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Ask, Decided, Decision, Patience, Permitted, Rules, TokenRequirement, decide};
use crate::logic::request::message::{Request, Response};
use crate::logic::request::reply;
use crate::logic::request::route::{self, OwnPage, Route, RouteRules};
use crate::logic::sessions::budget::Starter;
use crate::ports::{Clock, Imds};
use crate::state::sessions::{SessionCache, SessionRequester};
use crate::state::shared_world::SharedWorld;
use crate::state::token_keys::Keyring;
use crate::telemetry::{AnsweredRequest, LogLine, Telemetry};

pub(super) use answer::Answer;
pub use duplicates::{Duplicates, Found};
pub use forwards::Forwards;
pub use pages::{Facts, Undiscovered};

/// The dependencies of requests.
pub struct Service {
    pub world: Arc<SharedWorld>,
    pub sessions: Arc<SessionCache>,
    pub imds: Arc<dyn Imds>,
    /// Forwarded requests in progress, by peer
    pub forwards: Forwards,
    pub clock: Arc<dyn Clock>,
    pub keys: Arc<Keyring>,
    pub telemetry: Arc<Telemetry>,
    pub facts: Arc<Facts>,
    /// `None`: requests from an address claimed by several pods are refused.
    pub duplicates: Option<Duplicates>,
    pub routes: RouteRules,
    /// Whether every request must carry a session token
    pub tokens: TokenRequirement,
    /// `None`: pods' tokens aren't used
    pub proof: Option<Proof>,
    /// Maximum wait of a request for its pod to become known
    pub wait_for_pod: Duration,
}

/// The client of a request.
pub struct Caller<'a> {
    /// The client's address; v4-mapped v6 addresses are converted to v4
    pub peer: IpAddr,
    /// Whether the connection was made to the metadata address
    pub is_redirected: &'a dyn Fn() -> bool,
    /// The local address of the connection, if available
    pub local: &'a dyn Fn() -> Option<IpAddr>,
    /// Whether the address is the node's own; then the request doesn't wait for a pod
    pub is_node: &'a dyn Fn() -> bool,
    /// Counts the connection for the proven pod with this uid; false if that pod is at its cap
    pub prove_pod: &'a dyn Fn(&Arc<str>) -> bool,
}

impl Service {
    /// Answers one request.
    pub fn handle(&self, request: &Request<'_>, caller: &Caller<'_>) -> Response {
        let began = self.clock.now();
        let route = self.route(request, caller);
        if let (Route::ContainerCredentials, Some(proof)) = (&route, &self.proof) {
            return self.container_credentials(proof, request, caller, began);
        }
        let deadline = began.mono.after(self.max_wait(request, &route, caller));
        let (decided, chosen, at) = self.decide_in_time(request, &route, caller.peer, began, deadline);
        let is_still_right = |permitted: &Permitted| {
            let ask = self.ask(request, &route, caller.peer, self.clock.now().mono);
            self.is_still_right(ask, chosen.as_deref(), permitted)
        };
        let answer = self.execute(request, &route, caller.peer, &decided, at, &is_still_right);
        self.record(request, &route, caller.peer, decided, answer, began)
    }

    pub(super) fn route(&self, request: &Request<'_>, caller: &Caller<'_>) -> Route {
        let facing = route::facing(request, caller.is_redirected, caller.local, &self.routes);
        route::route(request, facing, &self.routes)
    }

    /// Counts and logs an answer.
    pub(super) fn record(
        &self,
        request: &Request<'_>,
        route: &Route,
        peer: IpAddr,
        decided: Decided<'_>,
        answer: Answer,
        began: Now,
    ) -> Response {
        self.count(request, route, &decided);
        let Answer { response, reason, cause } = answer;
        let end = self.clock.now();
        self.telemetry.answered(&AnsweredRequest {
            method: request.method,
            target: request.target,
            peer,
            status: response.status,
            at: end.wall,
            took: end.mono.since(began.mono),
            handler: route.handler(),
            way: route.way(),
            reason,
            cause: cause.as_deref(),
            pod: decided.pod.as_ref(),
            role: reason.and(decided.role()),
            audited: decided.audited.filter(|_| reason.is_none()),
            log: if matches!(route, Route::Page(_)) { LogLine::Left } else { LogLine::Written },
        });
        reply::with_token_left(response, decided.token_left)
    }

    /// Maximum wait for the pod to become known. A session token doesn't need the pod, but should be bound to it. Where
    /// hostNetwork pods can use tokens, a loopback address that no pod claims gets none by waiting.
    fn max_wait(&self, request: &Request<'_>, route: &Route, caller: &Caller<'_>) -> Duration {
        match route {
            _ if self.proof.is_some() && caller.peer.is_loopback() && !self.is_claimed(caller.peer) => Duration::ZERO,
            Route::Token if parse_ttl(request.headers.token_ttl).is_none() || (caller.is_node)() => Duration::ZERO,
            Route::Token => WAIT_FOR_POD_OF_TOKEN.min(self.wait_for_pod),
            _ => self.wait_for_pod,
        }
    }

    /// Whether a pod with this address is known; its request may still have to wait for its policy.
    fn is_claimed(&self, peer: IpAddr) -> bool {
        self.world.read(|world, _| world.claimants(peer).next().is_some())
    }

    /// Decides, and while the decision is "not yet", decides again after each change of the World, until the deadline.
    /// Also returns the uid of the pod chosen by a live list, if one was made, and the time of the decision.
    fn decide_in_time<'r>(
        &self,
        request: &Request<'_>,
        route: &'r Route,
        peer: IpAddr,
        began: Now,
        deadline: Mono,
    ) -> (Decided<'r>, Option<String>, Now) {
        let mut now = began;
        let keys = self.keys.keys_for(request.headers.token);
        let mut ask = self.ask(request, route, peer, began.mono);
        let mut chosen = None;
        loop {
            let seen = self.world.seen();
            if now.mono >= deadline {
                ask.patience = Patience::Exhausted;
            }
            let ask = Ask { chosen: chosen.as_deref(), at: now.mono, ..ask };
            let decided = self.world.read(|world, rules| decide(world, rules, &keys, ask, now.wall));
            let Decision::NotYet(reason) = decided.decision else { return (decided, chosen, now) };
            if let (Reason::AmbiguousAddress, None, Some(duplicates)) = (reason, &chosen, &self.duplicates) {
                match duplicates.resolve(peer, deadline) {
                    Found::Holder(uid) => {
                        chosen = Some(uid);
                        now = self.clock.now();
                        continue;
                    }
                    Found::Busy => {
                        return (Decided { decision: Decision::Refuse(Reason::Busy), ..decided }, None, now);
                    }
                    Found::Nobody => {}
                }
            }
            if let (Reason::PolicyPending, Some(pod)) = (reason, &decided.pod) {
                self.world.ask_for(pod);
            }
            self.world.wait(seen, deadline);
            now = self.clock.now();
        }
    }

    fn ask<'r, 'a>(&self, request: &Request<'a>, route: &'r Route, peer: IpAddr, at: Mono) -> Ask<'r, 'a> {
        Ask {
            peer,
            route,
            token: request.headers.token,
            forwarded_for: request.headers.forwarded_for,
            tokens: self.tokens,
            patience: Patience::Left,
            at,
            chosen: None,
        }
    }

    /// Repeats the request's decision after a wait.
    fn is_still_right(&self, ask: Ask<'_, '_>, chosen: Option<&str>, permitted: &Permitted) -> Result<(), Reason> {
        let keys = self.keys.keys_for(ask.token);
        let again = |world: &World, rules: Option<&Rules>, patience: Patience, now: Now| {
            let ask = Ask { chosen, patience, at: now.mono, ..ask };
            decide(world, rules, &keys, ask, now.wall).decision
        };
        self.decide_again(permitted, ask.at.after(self.wait_for_pod), &again)
    }

    /// Carries out a decision. Blocks for anything that isn't in memory.
    fn execute(
        &self,
        request: &Request<'_>,
        route: &Route,
        peer: IpAddr,
        decided: &Decided<'_>,
        at: Now,
        is_still_right: &dyn Fn(&Permitted) -> Result<(), Reason>,
    ) -> Answer {
        match &decided.decision {
            Decision::Name(role) => self.world.read(|_, rules| {
                let name = rules.map_or(role.as_str(), |rules| rules.base.shorten(role));
                Answer::ok(Response::text(200, name))
            }),
            Decision::Assume(permitted, form) => {
                let requester = SessionRequester { starter: Starter::Address(peer), token: None };
                self.assume(permitted, *form, route, requester, at, is_still_right)
            }
            Decision::Info(role) => Answer::ok(reply::iam_info(role, at.wall)),
            Decision::IamListing => Answer::ok(reply::iam_listing()),
            Decision::IssueToken => self.issue_token(request, route, peer, decided.pod.as_ref(), at),
            Decision::TokenMethods => Answer::ok(reply::token_methods(request.method)),
            Decision::Forward(path) => self.forward(request, route, path, peer),
            Decision::Listing(path, known) => self.list(request, route, path, *known, peer),
            Decision::Page(page) => Answer::ok(self.page(*page)),
            Decision::Refuse(reason) | Decision::NotYet(reason) => Answer::refuse(*reason, route),
        }
    }

    fn issue_token(
        &self,
        request: &Request<'_>,
        route: &Route,
        peer: IpAddr,
        pod: Option<&Arc<HeldPod>>,
        now: Now,
    ) -> Answer {
        let Some(asked_s) = parse_ttl(request.headers.token_ttl) else {
            return Answer::refuse(Reason::BadTokenTtl, route);
        };
        let bearer = pod.map_or(Bearer::Address(peer), |pod| Bearer::Pod(&pod.uid));
        let ttl_s = bearer.grant_ttl_s(asked_s);
        Answer::ok(reply::token(self.keys.current().issue(bearer, ttl_s, now.wall), ttl_s))
    }

    fn page(&self, page: OwnPage) -> Response {
        match page {
            OwnPage::Health => self.facts.health(),
            OwnPage::Ready => self.facts.readiness(&self.world, self.clock.now().mono),
            OwnPage::Metrics => self.metrics(),
            OwnPage::Store => pages::store(&self.world),
        }
    }

    fn count(&self, request: &Request<'_>, route: &Route, decided: &Decided<'_>) {
        let metrics = &self.telemetry.metrics;
        let unknown = match decided.decision {
            Decision::Refuse(Reason::UnknownPod) => true,
            Decision::Refuse(Reason::WatchBroken) => decided.pod.is_none(),
            _ => false,
        };
        if unknown {
            metrics.pod_not_in_cache.inc();
        }
        let metadata = !matches!(
            route,
            Route::Page(_)
                | Route::Refuse(_)
                | Route::Token
                | Route::TokenOptions
                | Route::TokenMethod
                | Route::ContainerCredentials
                | Route::RefuseContainer(_)
        );
        if let (true, None, Some(pod)) = (metadata, request.headers.token, &decided.pod) {
            metrics.tokenless_requests.with_label_values(&[&*pod.namespace]).inc();
        }
    }
}

/// The AWS SDK for Go waits half a second for a token, and after a timeout never requests one again.
const WAIT_FOR_POD_OF_TOKEN: Duration = Duration::from_millis(300);

#[cfg(test)]
pub(super) mod tests;
