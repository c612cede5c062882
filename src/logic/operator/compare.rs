//! Compares the roles that a running kube2iam serves with those that this agent would serve with the same flags, for
//! each address.
//!
//! kube2iam identifies clients by their source address, so its answers to pods can't be requested from elsewhere. But
//! its `/debug/store` shows their input: the annotation and namespace of each address, and the list of each
//! namespace. From that, [`answer_of`] derives the answer by kube2iam's published rules (unanchored expressions with
//! the format `regexp`, lists don't restrict the default role); this agent's answer comes from the same `decide` as
//! for a request. Flags can't be seen from outside: both must have the same.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::logic::base::json;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::cluster::world::{AddressHolder, World};
use crate::logic::identity::metadata_token::{Bearer, TokenKeys};
use crate::logic::policy::pattern::{Format, Matcher};
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Ask, Decision, Patience, Rules, TokenRequirement, decide};
use crate::logic::request::route::{DocumentForm, Route};

/// kube2iam's `/debug/store`.
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

/// Both answers for one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub address: IpAddr,
    /// `NAMESPACE/POD`, if the API server knows a pod there
    pub pod: Option<String>,
    pub outcome: Agreement,
    /// The role that both serve, or how they differ
    pub text: String,
}

/// How two answers agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Both serve a role, but different ones.
    OtherRole,
    /// kube2iam serves a role, this agent would refuse.
    OnlyTheirs,
    /// This agent would serve a role, kube2iam refuses.
    OnlyOurs,
    /// The same role, or both refuse.
    Alike,
}

/// The result of a comparison: a row per address, differences first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub rows: Vec<Row>,
}

impl Agreement {
    pub const fn word(self) -> &'static str {
        match self {
            Self::OtherRole => "other_role",
            Self::OnlyTheirs => "only_theirs",
            Self::OnlyOurs => "only_ours",
            Self::Alike => "alike",
        }
    }
}

impl Comparison {
    /// The number of addresses that differ.
    pub fn different(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome != Agreement::Alike).count()
    }

    /// Keeps only differences that both comparisons found: a pod that starts or ends between reading the one and
    /// listing for the other looks like a difference.
    pub fn confirmed_by(&self, second: Self) -> Self {
        let is_sure = |row: &Row| row.outcome == Agreement::Alike || self.rows.contains(row);
        Self { rows: second.rows.into_iter().filter(is_sure).collect() }
    }

    /// A table with a summary.
    pub fn text(&self) -> String {
        let cells = |row: &Row| {
            let pod = row.pod.clone().unwrap_or_else(|| "-".to_owned());
            [row.address.to_string(), pod, row.outcome.word().to_owned(), row.text.clone()]
        };
        let header = ["ADDRESS", "POD", "OUTCOME", "REASON"].map(str::to_owned);
        let table: Vec<[String; 4]> = std::iter::once(header).chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [width(0), width(1), width(2)];
        let mut text = String::new();
        for row in &table {
            for (cell, width) in row.iter().zip(widths) {
                text.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(&row[3]);
            text.push('\n');
        }
        let different = self.different();
        text + &format!("\n{} addresses alike, {different} different\n", self.rows.len() - different)
    }
}

impl Store {
    /// Parses the page.
    pub fn read(page: &[u8]) -> Result<Self, String> {
        json::read(page).map_err(|cause| format!("it is not kube2iam's store: {cause}"))
    }
}

/// kube2iam's answer for each address that it knows: a role, or why there is none.
pub type TheirAnswers = HashMap<IpAddr, Result<String, &'static str>>;

/// Derives kube2iam's answers. The time it takes depends on tenants' lists.
pub fn their_answers(store: &Store, rules: &Rules) -> TheirAnswers {
    let answer = |text: &String| Some((text.parse::<IpAddr>().ok()?.to_canonical(), answer_of(store, rules, text)));
    store.roles.keys().filter_map(answer).collect()
}

/// Compares every address that either of them knows.
pub fn compare(world: &World, rules: &Rules, keys: &TokenKeys, theirs: &TheirAnswers, now: Wall) -> Comparison {
    let ours = world.pods().filter(|pod| pod.counts()).flat_map(|pod| pod.addresses.iter().copied());
    let mut addresses = BTreeSet::new();
    addresses.extend(theirs.keys().copied().chain(ours));
    let (mut rows, mut alike) = (Vec::new(), Vec::new());
    for address in addresses {
        let ours = our_answer(world, rules, keys, address, now);
        let theirs = theirs.get(&address).cloned().unwrap_or(Err("it knows no pod there"));
        let (outcome, text) = judge(ours, theirs, rules);
        let pod = match world.holder(address) {
            AddressHolder::Pod(pod) => Some(format!("{}/{}", pod.namespace, pod.name)),
            AddressHolder::Nobody | AddressHolder::Several(_) => None,
        };
        let list = if outcome == Agreement::Alike { &mut alike } else { &mut rows };
        list.push(Row { address, pod, outcome, text });
    }
    rows.append(&mut alike);
    Comparison { rows }
}

/// The role that this agent serves to `address`, or why there is none.
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
        // Compares the decisions; the World's age doesn't matter.
        at: Mono::default(),
        chosen: None,
    };
    match decide(world, Some(rules), keys, ask, now).decision {
        Decision::Name(role) => Ok(role.as_str().to_owned()),
        Decision::Refuse(reason) | Decision::NotYet(reason) => Err(reason),
        _ => Err(Reason::Internal),
    }
}

/// The role that kube2iam serves to `address` according to its store, or why there is none. Its lists have no limits.
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

fn judge(ours: Result<String, Reason>, theirs: Result<String, &'static str>, rules: &Rules) -> (Agreement, String) {
    match (ours, theirs) {
        (Err(reason), Err(why)) => {
            (Agreement::Alike, format!("kube2iam refuses ({why}), this agent would refuse ({})", reason.word()))
        }
        (Ok(ours), Ok(theirs)) if ours == theirs => (Agreement::Alike, ours),
        (Ok(ours), Ok(theirs)) => {
            (Agreement::OtherRole, format!("kube2iam gives `{theirs}`, this agent would give `{ours}`"))
        }
        (Ok(ours), Err(why)) => {
            (Agreement::OnlyOurs, format!("kube2iam refuses ({why}), this agent would give `{ours}`"))
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
            (Agreement::OnlyTheirs, text)
        }
    }
}

/// Valid until the decision is made.
const TOKEN_S: u32 = 60;

#[cfg(test)]
mod tests;
