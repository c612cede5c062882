//! Builds an explanation.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::known::KnownFacts;
use super::words::{of_pod, step};
use super::{ExplainedStep, Explanation, Judgement, SessionState, StepOutcome, Subject};
use crate::logic::base::time::{Mono, Wall};
use crate::logic::cluster::kubernetes::{AnnotationKeys, Resource};
use crate::logic::cluster::world::{AddressHolder, HeldPod, World};
use crate::logic::identity::metadata_token::{Bearer, TokenKeys};
use crate::logic::identity::projected_token::ProvenPod;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::Step;
use crate::logic::policy::{
    Ask, Decision, Patience, Permitted, ProvenAsk, Rules, TokenRequirement, decide, decide_proven_traced,
    decide_traced, is_token_required, permit_traced,
};
use crate::logic::request::route::{DocumentForm, Route};
use crate::logic::sessions::session::{CallsBear, Session};
use crate::logic::sts::StsFailure;

/// The input of an explanation, at one point in time.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub world: &'a World,
    pub rules: Option<&'a Rules>,
    pub keys: &'a TokenKeys,
    /// `--imds-v2`
    pub tokens: TokenRequirement,
    pub annotations: &'a AnnotationKeys,
    pub now: Wall,
    /// The same time, to judge the age of the World
    pub at: Mono,
    /// Time since the last event about pods; `None`: none yet
    pub silence: Option<Duration>,
    /// `--node`
    pub node: Option<&'a str>,
    /// The UID of the claimant that the API server names, if several pods claim the address
    pub chosen: Option<&'a str>,
}

/// An explanation, and the call for the credentials if the request is allowed.
pub struct Story {
    pub explanation: Explanation,
    pub permitted: Option<Permitted>,
    /// The source address of a request
    pub peer: Option<IpAddr>,
    pub pod: Option<Arc<HeldPod>>,
    known: KnownFacts,
}

/// The outcome of a request.
enum Located {
    To(Box<Permitted>),
    Refused(Reason),
}

/// Explains the current decision about `subject`.
pub fn explain(scene: &Scene<'_>, subject: &Subject) -> Story {
    let mut steps = Vec::new();
    let (pod, peer) = match subject {
        Subject::Pod { namespace, name } => {
            let pod = find(scene.world, namespace, name);
            let peer = pod.as_ref().and_then(|pod| pod.addresses.first().copied());
            (pod, peer)
        }
        Subject::Address(address) => (holder(scene, *address), Some(*address)),
    };
    match &pod {
        Some(pod) => steps.extend(of_pod(pod, scene.world, &age(scene), scene.annotations)),
        None => steps.extend(not_found(scene, subject)),
    }
    let mut known = KnownFacts::of(pod.as_deref(), subject, scene);
    let by_name = matches!(subject, Subject::Pod { .. });
    let proof_only = scene.rules.is_some_and(|rules| rules.session.bearing == CallsBear::PodToken);
    if proof_only && pod.as_ref().is_some_and(|pod| scene.world.can_ask(pod)) {
        steps.push(step("proof", StepOutcome::Note, ONLY_BY_TOKEN));
    }
    let came = match (peer, &pod) {
        // The pod has no address of its own, or its address is no sufficient proof: it uses its token.
        (_, Some(pod)) if (proof_only || by_name && !pod.has_address()) && scene.world.can_ask(pod) => {
            by_token(scene, pod, &mut steps, &mut known)
        }
        (Some(peer), Some(pod)) if is_held_by_another(scene, peer, pod, &mut steps) => {
            Located::Refused(if pod.counts() { Reason::OwnerChanged } else { Reason::UnknownPod })
        }
        (Some(peer), _) => by_address(scene, peer, pod.as_ref(), &mut steps, &mut known),
        (None, _) if !scene.world.is_ready() => Located::Refused(Reason::NotReady),
        (None, _) => Located::Refused(Reason::UnknownPod),
    };
    let without_rules = matches!(
        came,
        Located::Refused(Reason::UnknownPod | Reason::AmbiguousAddress | Reason::OwnerChanged | Reason::WatchBroken)
    );
    if let (true, Some(pod)) = (without_rules, pod.as_ref().filter(|pod| pod.counts())) {
        rules_for(scene, pod, &mut steps, &mut known);
    }
    Story { peer, pod: pod.clone(), ..finish(came, pod.as_deref(), steps, known) }
}

/// Whether the address belongs to another pod; adds the step that says so.
fn is_held_by_another(scene: &Scene<'_>, peer: IpAddr, pod: &HeldPod, steps: &mut Vec<ExplainedStep>) -> bool {
    match scene.world.holder_among(peer, scene.chosen) {
        AddressHolder::Pod(holder) if holder.uid != pod.uid => {
            let detail = format!("{peer} belongs to `{}/{}` now", holder.namespace, holder.name);
            steps.push(step("shared", StepOutcome::Refused, detail));
            true
        }
        _ => false,
    }
}

/// The decision for a request from `peer`.
fn by_address(
    scene: &Scene<'_>,
    peer: IpAddr,
    pod: Option<&Arc<HeldPod>>,
    steps: &mut Vec<ExplainedStep>,
    known: &mut KnownFacts,
) -> Located {
    if is_token_required(scene.world, scene.tokens, pod) {
        steps.push(step("token", StepOutcome::Note, "requests must bear a session token (IMDSv2)"));
    }
    // the token that a well-behaved client would have
    let token = scene.keys.issue(Bearer::Address(peer), TOKEN_S, scene.now);
    let list = Route::RoleList(DocumentForm::Plain);
    let ask = Ask {
        peer,
        route: &list,
        token: Some(token.as_bytes()),
        forwarded_for: false,
        tokens: scene.tokens,
        patience: Patience::Exhausted,
        at: scene.at,
        chosen: scene.chosen,
    };
    let mut trace = |step: Step<'_>| known.on_step(step, scene, steps);
    let decided = decide_traced(scene.world, scene.rules, scene.keys, ask, scene.now, &mut trace);
    let role = match decided.decision {
        Decision::Name(role) => role,
        Decision::Refuse(reason) | Decision::NotYet(reason) => return Located::Refused(reason),
        _ => return Located::Refused(Reason::Internal),
    };
    let document = Route::RoleDocument(DocumentForm::Plain, role.as_str().to_owned());
    match decide(scene.world, scene.rules, scene.keys, Ask { route: &document, ..ask }, scene.now).decision {
        Decision::Assume(permitted, _) => Located::To(Box::new(permitted)),
        Decision::Refuse(reason) | Decision::NotYet(reason) => Located::Refused(reason),
        _ => Located::Refused(Reason::Internal),
    }
}

/// The decision for a request for container credentials.
fn by_token(scene: &Scene<'_>, pod: &HeldPod, steps: &mut Vec<ExplainedStep>, known: &mut KnownFacts) -> Located {
    let proven = ProvenPod {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        uid: pod.uid.to_string(),
        service_account: pod.service_account.to_string(),
        node: None,
        expires: scene.now,
    };
    let (peer, patience) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Patience::Exhausted);
    let ask = ProvenAsk { proven: &proven, peer, node: None, patience, at: scene.at };
    let mut trace = |step: Step<'_>| known.on_step(step, scene, steps);
    match decide_proven_traced(scene.world, scene.rules, ask, &mut trace).decision {
        Decision::Assume(permitted, _) => Located::To(Box::new(permitted)),
        Decision::Refuse(reason) | Decision::NotYet(reason) => Located::Refused(reason),
        _ => Located::Refused(Reason::Internal),
    }
}

/// A pod without an address of its own gets nothing, whatever its role; its rules are explained all the same.
fn rules_for(scene: &Scene<'_>, pod: &Arc<HeldPod>, steps: &mut Vec<ExplainedStep>, known: &mut KnownFacts) {
    if let Some(rules) = scene.rules {
        let mut trace = |step: Step<'_>| known.on_step(step, scene, steps);
        let _ = permit_traced(scene.world, rules, pod, Patience::Exhausted, &mut trace); // only the trace matters
    }
}

fn finish(came: Located, pod: Option<&HeldPod>, steps: Vec<ExplainedStep>, known: KnownFacts) -> Story {
    let (permitted, reason, policy) = match came {
        Located::To(permitted) => {
            let audited = permitted.audited();
            (Some(*permitted), audited, audited.map(|_| "audit".to_owned()))
        }
        Located::Refused(reason) => (None, Some(reason), None),
    };
    let decision = if permitted.is_some() { Judgement::Allowed } else { Judgement::Refused };
    let fix = reason.map(|reason| known.advice(reason, pod));
    let explanation = Explanation {
        pod: pod.map(|pod| pod.name.to_string()),
        namespace: pod.map(|pod| pod.namespace.to_string()),
        role: known.role.as_ref().map(|role| role.as_str().to_owned()),
        decision,
        reason: reason.map(|reason| reason.word().to_owned()),
        policy,
        steps,
        credentials: None,
        fix,
    };
    Story { explanation, permitted, peer: None, pod: None, known }
}

/// Whether a call to STS for the session is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsCall {
    Pending,
    None,
}

impl Story {
    /// Adds the state of the credentials. If STS refuses, the pod is refused too.
    pub fn with_credentials(
        mut self,
        held: Option<&Session>,
        call: StsCall,
        failure: Option<(&StsFailure, Wall)>,
    ) -> Explanation {
        let state = match (held, call, failure) {
            (Some(_), StsCall::Pending, _) => "renewing",
            (Some(_), StsCall::None, _) => "fresh",
            (None, StsCall::Pending, _) => "fetching",
            (None, StsCall::None, Some((failure, _))) if failure.kind.is_final() => "refused",
            (None, StsCall::None, Some(_)) => "failed",
            (None, StsCall::None, None) => "none",
        };
        if let (None, StsCall::None, Some((failure, _))) = (held, call, failure) {
            let reason = Reason::of_sts(failure);
            self.explanation.decision = Judgement::Refused;
            self.explanation.reason = Some(reason.word().to_owned());
            self.explanation.fix = Some(self.known.advice(reason, None));
        }
        let session_name = self.permitted.as_ref().map(|permitted| permitted.request().session_name.clone());
        self.explanation.credentials = Some(SessionState {
            state: state.to_owned(),
            session_name: session_name.unwrap_or_default(),
            expires: held.and_then(|session| session.expires).map(Wall::rfc3339),
            code: failure.map(|(failure, _)| failure.code.clone()),
            message: failure.map(|(failure, _)| failure.message.clone()),
            at: failure.map(|(_, at)| at.rfc3339()),
        });
        self.explanation
    }
}

/// The pod with this name; if there are several, the one that isn't ending.
fn find(world: &World, namespace: &str, name: &str) -> Option<Arc<HeldPod>> {
    let named = world.pods().filter(|pod| *pod.namespace == *namespace && *pod.name == *name);
    named.min_by_key(|pod| (pod.finished, pod.deleting)).cloned()
}

/// The holder of the address, or the only pod that has it without holding it.
fn holder(scene: &Scene<'_>, address: IpAddr) -> Option<Arc<HeldPod>> {
    match scene.world.holder_among(address, scene.chosen) {
        AddressHolder::Pod(pod) => Some(pod.clone()),
        AddressHolder::Several(_) => None,
        AddressHolder::Nobody => {
            let mut there = scene.world.pods().filter(|pod| pod.addresses.contains(&address));
            let first = there.next()?;
            there.next().is_none().then(|| first.clone())
        }
    }
}

/// The step about a subject that isn't known.
fn not_found(scene: &Scene<'_>, subject: &Subject) -> Vec<ExplainedStep> {
    let whose = scene.node.map_or("in the cluster".to_owned(), |node| format!("on node `{node}`"));
    if !scene.world.is_listed(Resource::Pods) {
        return vec![step("pod", StepOutcome::Refused, "not found: pods aren't listed yet")];
    }
    let detail = match subject {
        Subject::Pod { namespace, name } => {
            format!("not found: no pod `{namespace}/{name}` is known {whose}; {}", age(scene))
        }
        Subject::Address(address) => {
            let mut there = Vec::new();
            for claimant in claimants(scene.world, *address) {
                there.insert(there.partition_point(|known| *known < claimant), claimant);
            }
            match there.as_slice() {
                [] => format!("not found: no pod is known at {address} {whose}; {}", age(scene)),
                several => format!("not found: {address} leads to no single pod: {}", several.join(", ")),
            }
        }
    };
    vec![step("pod", StepOutcome::Refused, detail)]
}

fn claimants(world: &World, address: IpAddr) -> impl Iterator<Item = String> {
    world.pods().filter(move |pod| pod.addresses.contains(&address)).map(|pod| {
        let why = match (pod.finished, pod.host_network, pod.deleting) {
            (true, ..) => " (finished)",
            (_, true, _) => " (hostNetwork)",
            (.., true) => " (being deleted)",
            _ => "",
        };
        format!("`{}/{}`{why}", pod.namespace, pod.name)
    })
}

fn age(scene: &Scene<'_>) -> String {
    match scene.silence {
        Some(silence) => format!("the API server was last heard of {} s ago", silence.as_secs()),
        None => "the API server hasn't been heard of yet".to_owned(),
    }
}

/// Where calls to STS carry the pods' tokens
const ONLY_BY_TOKEN: &str =
    "its token gets its credentials (--sts=web-identity); the metadata address refuses them: proof_required";
/// Valid until the decision is made.
const TOKEN_S: u32 = 60;
