//! Which role's credentials a pod may have. One function decides every request, from one snapshot of the World.
//!
//! A [`Permitted`] can be constructed only in this module, so holding one proves that the pod may have the role.

mod ahead;
mod bearer;
mod denial;
mod evaluation;
mod own;
mod permission;
mod proven;
mod role;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::sts::AssumeRole;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::cluster::world::{AddressHolder, HeldPod, PodTokens, Reading, World};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::Format;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::trace::{Step, no_trace};
use crate::logic::request::path::CanonicalPath;
use crate::logic::request::route::{DocumentForm, IamEntry, OwnPage, Route};
use crate::logic::sessions::session::SessionRules;
pub use ahead::ahead;
pub use bearer::is_token_required;
use bearer::{Demand, token_left, without_good_token};
pub use denial::Denial;
pub use evaluation::{
    Evaluation, EvaluationProgress, EvaluationQueue, NextEvaluation, evaluate_all, question, questions,
};
pub use own::{OwnRole, OwnRoles};
pub use permission::{entitled, permit, permit_traced};
pub use proven::{ProvenAsk, decide_proven, decide_proven_traced};
pub use role::{AccountRoles, needs_namespaces};

/// The operator's settings about roles.
#[derive(Clone, Debug)]
pub struct Rules {
    pub base: BaseArn,
    pub default_role: Option<DefaultRole>,
    pub account_roles: AccountRoles,
    /// How namespaces' lists of allowed roles are parsed; `None`: namespaces restrict nothing
    pub restrictions: Option<Format>,
    /// What happens to roles that the namespace's list doesn't allow
    pub enforcement: Enforcement,
    pub session: SessionRules,
    /// The roles that the agent itself runs under
    pub own_roles: OwnRoles,
    /// The only accounts whose roles may be assumed; empty: any account
    pub allowed_accounts: Vec<String>,
    pub pod_tokens: PodTokens,
}

/// The role of pods that name none, `--default-role`.
#[derive(Clone, Debug)]
pub struct DefaultRole {
    pub role: RoleArn,
    pub origin: DefaultOrigin,
    pub obeys: DefaultObeys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultOrigin {
    Given,
    /// The node's own role, from `--auto-discover-default-role`
    Discovered,
}

/// Whether namespaces' lists restrict the default role too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultObeys {
    Nothing,
    Namespaces,
}

/// What happens to roles that the namespace's list doesn't allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// The request is refused.
    Enforce,
    /// The request is allowed; logs, metrics, events and `explain` report it.
    Audit,
}

/// Whether requests must carry a session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRequirement {
    Optional,
    Required,
}

impl Rules {
    /// Whether `role` is the node's own role and is served on purpose (`--auto-discover-default-role`).
    fn gives_own(&self, role: &RoleArn) -> bool {
        self.default_role
            .as_ref()
            .is_some_and(|default| default.origin == DefaultOrigin::Discovered && default.role == *role)
    }

    /// How annotations are parsed.
    pub fn reading(&self) -> Reading<'_> {
        Reading { base: &self.base, format: self.restrictions.unwrap_or(Format::Glob), pod_tokens: self.pod_tokens }
    }

    /// Whether `role` may turn out to be the agent's own. Its name may be shown, its credentials must not be served.
    fn may_be_own(&self, role: &RoleArn) -> bool {
        matches!(self.own_roles, OwnRoles::Sought(_)) && !self.gives_own(role)
    }
}

/// The parts of a request that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'r, 'a> {
    pub peer: IpAddr,
    pub route: &'r Route,
    pub token: Option<&'a [u8]>,
    /// Whether the request has an `X-Forwarded-For` header
    pub forwarded_for: bool,
    /// The agent-wide setting; known before the rules are
    pub tokens: TokenRequirement,
    pub patience: Patience,
    /// The time of the request, to judge the age of the World
    pub at: Mono,
    /// The UID of the claimant that the API server names, if several pods claim the address
    pub chosen: Option<&'a str>,
}

/// Whether the request can still wait for the World to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Left,
    Exhausted,
}

/// The decision, the pod it is for, and the remaining lifetime of the request's session token.
#[derive(Debug)]
pub struct Decided<'a> {
    pub decision: Decision<'a>,
    pub pod: Option<Arc<HeldPod>>,
    pub token_left: Option<Duration>,
    /// Why the request would be refused if the policy were enforced
    pub audited: Option<Reason>,
}

impl Decided<'_> {
    /// The role to assume.
    pub fn role(&self) -> Option<&RoleArn> {
        match &self.decision {
            Decision::Assume(permitted, _) => Some(&permitted.request.role),
            _ => None,
        }
    }
}

/// What to do with a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Respond with the role's name.
    Name(RoleArn),
    /// Respond with the role's credentials.
    Assume(Permitted, DocumentForm),
    /// Respond to `iam/info` with this role.
    Info(RoleArn),
    /// Respond with the entries below `iam/`.
    IamListing,
    /// Issue a token, bound to the pod if it is known, otherwise to the address (only once no patience is left).
    IssueToken,
    /// Respond with the methods that the token path allows.
    TokenMethods,
    Forward(&'a CanonicalPath),
    /// Forward, and filter the response.
    Listing(&'a CanonicalPath, IamEntry),
    Page(OwnPage),
    Refuse(Reason),
    /// Decide again when the World has changed; if it doesn't change in time, refuse with this reason.
    NotYet(Reason),
}

/// The proof that a pod may have a role, and the call that gets its credentials.
#[derive(Clone, Debug)]
pub struct Permitted {
    request: AssumeRole,
    pod: Arc<HeldPod>,
    audited: Option<Reason>,
}

impl Permitted {
    pub fn request(&self) -> &AssumeRole {
        &self.request
    }

    pub fn pod(&self) -> &Arc<HeldPod> {
        &self.pod
    }

    /// Why the request would be refused if the policy were enforced.
    pub fn audited(&self) -> Option<Reason> {
        self.audited
    }
}

/// Decides one request.
pub fn decide<'r>(world: &World, rules: Option<&Rules>, keys: &TokenKeys, ask: Ask<'r, '_>, now: Wall) -> Decided<'r> {
    decide_traced(world, rules, keys, ask, now, &mut no_trace)
}

/// [`decide`], reporting every step to `trace`.
pub fn decide_traced<'r>(
    world: &World,
    rules: Option<&Rules>,
    keys: &TokenKeys,
    ask: Ask<'r, '_>,
    now: Wall,
    trace: &mut impl FnMut(Step<'_>),
) -> Decided<'r> {
    let holder = world.holder_among(ask.peer, ask.chosen);
    trace(Step::Holder(&holder));
    let pod = if let AddressHolder::Pod(pod) = holder { Some(pod) } else { None };
    let plain = |decision| Decided { decision, pod: pod.cloned(), token_left: None, audited: None };
    match ask.route {
        Route::Refuse(reason) | Route::RefuseContainer(reason) => return plain(Decision::Refuse(*reason)),
        Route::Page(page) => return plain(Decision::Page(*page)),
        _ if ask.forwarded_for => return plain(Decision::Refuse(Reason::ForwardedFor)),
        Route::Token if matches!(holder, AddressHolder::Nobody) && ask.patience == Patience::Left => {
            return plain(Decision::NotYet(Reason::UnknownPod));
        }
        Route::Token => return plain(Decision::IssueToken),
        Route::TokenOptions | Route::TokenMethod => return plain(Decision::TokenMethods),
        _ => {}
    }
    let check = |address, uid: Option<&str>| ask.token.and_then(|token| keys.check(token, address, uid, now));
    let token_left = token_left(world, &holder, ask.peer, &check);
    let demand = match token_left {
        Some(_) => Demand::None,
        None => match without_good_token(world, keys, &ask, &holder, now) {
            Ok(demand) => demand,
            Err(denial) => return plain(denial.after(ask.patience)),
        },
    };
    let mut audited = None;
    let decision = match ask.route {
        Route::Forward(path) => Decision::Forward(path),
        Route::Listing(path) => match assign(world, rules, &holder, &ask, trace) {
            Ok(_) => Decision::Listing(path, IamEntry::Shown),
            Err(Denial::NotYet(reason)) if ask.patience == Patience::Left => Decision::NotYet(reason),
            Err(_) => Decision::Listing(path, IamEntry::Hidden),
        },
        route => match assign(world, rules, &holder, &ask, trace) {
            Ok(_) if demand == Demand::Unknown => {
                trace(Step::NamespaceUnknown);
                Denial::NotYet(Reason::UnknownNamespace).after(ask.patience).while_broken(world)
            }
            Ok(permitted) => {
                audited = permitted.audited;
                answer(route, permitted, rules, ask.patience)
            }
            Err(denial) => denial.after(ask.patience).while_broken(world),
        },
    };
    Decided { token_left, audited, ..plain(decision) }
}

/// The decision for a pod that may have its role.
fn answer<'a>(route: &Route, permitted: Permitted, rules: Option<&Rules>, patience: Patience) -> Decision<'a> {
    let role = &permitted.request.role;
    match route {
        // Calls for this role carry the pod's token, and requests to the metadata address don't have it.
        Route::RoleList(_) | Route::RoleDocument(..) if permitted.request.subject.is_some() => {
            Decision::Refuse(Reason::ProofRequired)
        }
        Route::RoleList(_) => Decision::Name(role.clone()),
        Route::IamInfo => Decision::Info(role.clone()),
        Route::IamListing => Decision::IamListing,
        Route::RoleDocument(form, wanted) => match rules {
            Some(rules) if !rules.base.names(wanted, role) => Decision::Refuse(Reason::OtherRole),
            Some(rules) if !rules.may_be_own(role) => Decision::Assume(permitted, *form),
            _ => Denial::NotYet(Reason::NotReady).after(patience),
        },
        _ => Decision::Refuse(Reason::NotFound),
    }
}

/// The role of the pod that holds the address.
fn assign(
    world: &World,
    rules: Option<&Rules>,
    holder: &AddressHolder<'_>,
    ask: &Ask<'_, '_>,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<Permitted, Denial> {
    let rules = current(world, rules, ask.at, trace)?;
    match holder {
        AddressHolder::Nobody => Err(Denial::NotYet(Reason::UnknownPod)),
        AddressHolder::Several(_) => Err(Denial::NotYet(Reason::AmbiguousAddress)),
        AddressHolder::Pod(pod) => permit_traced(world, rules, pod, ask.patience, trace),
    }
}

/// The rules, if all lists are complete and not too old to decide by.
fn current<'r>(
    world: &World,
    rules: Option<&'r Rules>,
    at: Mono,
    trace: &mut impl FnMut(Step<'_>),
) -> Result<&'r Rules, Denial> {
    let Some(rules) = rules.filter(|_| world.is_ready()) else {
        trace(Step::NotReady);
        return Err(Denial::NotYet(Reason::NotReady));
    };
    if let Some(old) = world.is_stale(|| needs_namespaces(world, rules), at) {
        trace(Step::TooOld(old));
        return Err(Denial::Refused(Reason::WorldStale));
    }
    Ok(rules)
}

pub mod arn;
pub mod pattern;
pub mod reason;
#[cfg(test)]
pub(crate) mod tests;
pub mod trace;
