//! A running kube2iam and this agent, compared without a pod noticing.
//!
//! kube2iam knows its clients by their source address, which nobody else can take on: its answers to pods can't be
//! asked for. What can be had is what it makes them from, its `/debug/store`: the annotation and the namespace that it
//! holds for each address, and the lists that it holds for each namespace. From that, [`answer_of`] tells its answer by
//! its own published rules (an unanchored expression where the format is `regexp`, the default role exempt from lists);
//! ours is made by the same `decide` as a request's. Flags can't be seen from outside: both must have the same.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use serde::Deserialize;

use crate::logic::base::json;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::cluster::world::{AddressHolder, World};
use crate::logic::identity::metadata_token::{Bearer, TokenKeys};
use crate::logic::policy::pattern::{Format, Matcher};
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Ask, Decision, Patience, Rules, TokenRequirement, decide};
use crate::logic::request::route::{DocumentForm, Route};

/// What kube2iam's `/debug/store` shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Store {
    /// Raw annotations; empty for a pod without one
    #[serde(rename = "rolesByIP")]
    roles: HashMap<String, String>,
    #[serde(rename = "namespaceByIP")]
    namespaces: HashMap<String, String>,
    /// kube2iam writes `null` for a namespace without a list
    #[serde(rename = "rolesByNamespace", default)]
    lists: HashMap<String, Option<Vec<String>>>,
}

/// What there is to say of an address on which the two disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
    /// `NAMESPACE/POD`, if we know one
    pub pod: Option<String>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// Both give a role, not the same one.
    OtherRole,
    /// kube2iam gives a role where this agent would refuse.
    OnlyTheirs,
    /// This agent would give a role where kube2iam refuses.
    OnlyOurs,
}

/// How a comparison came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Addresses on which both agree
    pub alike: usize,
    pub differences: Differences,
}

/// In the order of their addresses.
pub type Differences = Vec<(IpAddr, Difference)>;

impl DifferenceKind {
    pub const ALL: [Self; 3] = [Self::OtherRole, Self::OnlyTheirs, Self::OnlyOurs];

    /// For the metric's label and the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OtherRole => "other_role",
            Self::OnlyTheirs => "only_theirs",
            Self::OnlyOurs => "only_ours",
        }
    }
}

impl Store {
    /// Reads the page.
    pub fn read(page: &[u8]) -> Result<Self, String> {
        json::read(page).map_err(|cause| format!("it is not kube2iam's store: {cause}"))
    }
}

/// What kube2iam answers at each address that it knows: a role, or why none.
pub type TheirAnswers = HashMap<IpAddr, Result<String, &'static str>>;

/// Works out kube2iam's answers. That takes as long as tenants' lists do: not while the World is locked.
pub fn their_answers(store: &Store, rules: &Rules) -> TheirAnswers {
    let answer = |text: &String| Some((text.parse::<IpAddr>().ok()?.to_canonical(), answer_of(store, rules, text)));
    store.roles.keys().filter_map(answer).collect()
}

/// Compares every address that either of the two knows.
pub fn compare(world: &World, rules: &Rules, keys: &TokenKeys, theirs: &TheirAnswers, now: Wall) -> Comparison {
    let ours = world.pods().filter(|pod| pod.counts()).flat_map(|pod| pod.addresses.iter().copied());
    let mut addresses = BTreeSet::new();
    addresses.extend(theirs.keys().copied().chain(ours));
    let mut comparison = Comparison::default();
    for address in addresses {
        let ours = our_answer(world, rules, keys, address, now);
        let theirs = theirs.get(&address).cloned().unwrap_or(Err("it knows no pod there"));
        match difference(ours, theirs, rules) {
            None => comparison.alike += 1,
            Some((kind, text)) => {
                let pod = match world.holder(address) {
                    AddressHolder::Pod(pod) => Some(format!("{}/{}", pod.namespace, pod.name)),
                    AddressHolder::Nobody | AddressHolder::Several(_) => None,
                };
                comparison.differences.push((address, Difference { kind, pod, text }));
            }
        }
    }
    comparison
}

/// The role that a request of `address` gets here, or why none.
fn our_answer(world: &World, rules: &Rules, keys: &TokenKeys, peer: IpAddr, now: Wall) -> Result<String, Reason> {
    let (route, token) = (Route::RoleList(DocumentForm::Plain), keys.issue(Bearer::Address(peer), TOKEN_S, now));
    let token = Some(token.as_bytes());
    let ask = Ask {
        peer,
        route: &route,
        token,
        forwarded_for: false,
        tokens: TokenRequirement::Optional,
        patience: Patience::Exhausted,
        // It is what is known that is compared, not whether credentials rest on it.
        at: Mono::default(),
        chosen: None,
    };
    match decide(world, Some(rules), keys, ask, now).decision {
        Decision::Name(role) => Ok(role.as_str().to_owned()),
        Decision::Refuse(reason) | Decision::NotYet(reason) => Err(reason),
        _ => Err(Reason::Internal),
    }
}

/// The role that kube2iam gives at `address` by what it holds, or why none. Its lists have no bounds.
fn answer_of(store: &Store, rules: &Rules, address: &str) -> Result<String, &'static str> {
    let annotation = store.roles.get(address).ok_or("it knows no pod there")?;
    let default = rules.default_role.as_ref().map(|default| default.role.as_str());
    let role = match (annotation.as_str(), default) {
        ("", None) => return Err("the pod has no role"),
        ("", Some(default)) => default.to_owned(),
        (name, _) => rules.base.complete(name).into_owned(),
    };
    let Some(format) = rules.restrictions.filter(|_| default != Some(role.as_str())) else { return Ok(role) };
    let format = if format == Format::Glob { Format::Glob } else { Format::RegexpUnanchored };
    let namespace = store.namespaces.get(address).map(String::as_str).unwrap_or_default();
    let patterns = store.lists.get(namespace).and_then(Option::as_ref).map(Vec::as_slice).unwrap_or_default();
    let allows = |pattern: &String| {
        let matcher = Matcher::compile(pattern, format, &rules.base);
        matcher.is_ok_and(|matcher| matcher.matches(&role, &rules.base))
    };
    if patterns.iter().any(allows) { Ok(role) } else { Err("the namespace doesn't allow the role") }
}

fn difference(
    ours: Result<String, Reason>,
    theirs: Result<String, &'static str>,
    rules: &Rules,
) -> Option<(DifferenceKind, String)> {
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Ok(ours), Ok(theirs)) if ours == theirs => None,
        (Ok(ours), Ok(theirs)) => {
            Some((DifferenceKind::OtherRole, format!("kube2iam gives `{theirs}`, this agent would give `{ours}`")))
        }
        (Ok(ours), Err(why)) => {
            Some((DifferenceKind::OnlyOurs, format!("kube2iam refuses ({why}), this agent would give `{ours}`")))
        }
        (Err(reason), Ok(theirs)) => {
            let hint = match (reason, rules.restrictions) {
                (Reason::RoleNotAllowed, Some(Format::Regexp)) => {
                    "; expressions match the whole ARN here, --namespace-restriction-format=regexp-unanchored is \
                     kube2iam's way"
                }
                (Reason::UnknownPod, _) => "; hostNetwork pods and finished ones have no role here",
                _ => "",
            };
            let text = format!("kube2iam gives `{theirs}`, this agent would refuse ({}){hint}", reason.word());
            Some((DifferenceKind::OnlyTheirs, text))
        }
    }
}

/// What has been said: a difference counts once two comparisons in a row have found it, since a pod that comes or goes
/// reaches the two at different moments.
#[derive(Debug, Default)]
pub struct Known {
    before: Differences,
    said: Differences,
}

impl Known {
    /// Takes up a comparison: what is new and sure, and the addresses that agree by now.
    pub fn note(&mut self, comparison: Comparison) -> (Differences, Vec<IpAddr>) {
        let found = comparison.differences;
        let (mut said, mut fresh) = (Vec::new(), Vec::new());
        for (address, difference) in &found {
            let old = at(&self.said, *address);
            if at(&self.before, *address) != Some(difference) {
                said.extend(old.map(|old| (*address, old.clone())));
                continue;
            }
            said.push((*address, difference.clone()));
            if old != Some(difference) {
                fresh.push((*address, difference.clone()));
            }
        }
        let known = self.said.iter().map(|(address, _)| *address);
        let gone = known.filter(|address| at(&found, *address).is_none()).collect();
        (self.said, self.before) = (said, found);
        (fresh, gone)
    }

    /// Differences that are sure.
    pub fn said(&self) -> &[(IpAddr, Difference)] {
        &self.said
    }

    /// Whether something was found that another comparison must confirm.
    pub fn is_unsure(&self) -> bool {
        self.before.len() > self.said.len()
    }
}

fn at(differences: &[(IpAddr, Difference)], address: IpAddr) -> Option<&Difference> {
    let place = differences.binary_search_by_key(&address, |(known, _)| *known).ok()?;
    differences.get(place).map(|(_, difference)| difference)
}

/// Long enough to be decided upon at once.
const TOKEN_S: u32 = 60;

#[cfg(test)]
mod tests;
