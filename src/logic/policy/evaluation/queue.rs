//! Whose list is evaluated next: the namespaces by turns, one whose list takes long less often.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{About, Evaluation, Inspection, ListQuestion};
use crate::logic::base::time::Mono;
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::RoleList;

/// Questions that wait, by namespace.
#[derive(Debug, Default)]
pub struct EvaluationQueue {
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Every lane once
    turns: VecDeque<Arc<str>>,
    /// Roles that wait in all lanes
    waiting: usize,
}

/// What is to be found out about one namespace's list.
#[derive(Debug)]
struct Lane {
    list: Arc<RoleList>,
    serial: u64,
    /// By name: one that is asked about again is there once
    roles: BTreeSet<RoleArn>,
    entries: Entries,
    /// Begun, and waiting for its next turn
    begun: Option<Evaluation>,
    /// The roles of what has begun, in turn or not
    under_way: Vec<RoleArn>,
    /// A list that takes long has no turn before
    rests_until: Mono,
}

/// Whether the entries are to be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    Unasked,
    Asked,
}

/// What is to be done now.
#[derive(Debug)]
pub enum NextEvaluation {
    Evaluate(Box<Evaluation>),
    /// Nothing before this moment
    Rest(Mono),
    Nothing,
}

impl EvaluationQueue {
    pub fn ask(&mut self, question: ListQuestion) {
        let ListQuestion { namespace, list, serial, about } = question;
        let lane = self.lanes.entry(namespace.clone()).or_insert_with(|| {
            self.turns.push_back(namespace.clone());
            Lane::new(list.clone(), serial)
        });
        if serial < lane.serial {
            return;
        }
        if serial > lane.serial {
            self.waiting -= lane.roles.len();
            *lane = Lane { rests_until: lane.rests_until, ..Lane::new(list, serial) };
        }
        match about {
            About::Entries => lane.entries = Entries::Asked,
            About::Role(role) if lane.under_way.contains(&role) => {}
            About::Role(role) => self.waiting += usize::from(lane.roles.insert(role)),
        }
        if self.waiting > MOST_WAITING {
            self.drop_one();
        }
    }

    /// The next evaluation whose turn it is.
    pub fn next(&mut self, now: Mono, base: &BaseArn) -> NextEvaluation {
        let mut earliest = None;
        for _ in 0..self.turns.len() {
            let Some(namespace) = self.turns.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&namespace) else { continue };
            if lane.rests_until > now {
                earliest = Some(earliest.map_or(lane.rests_until, |other: Mono| other.min(lane.rests_until)));
                self.turns.push_back(namespace);
                continue;
            }
            let waiting = lane.roles.len();
            let evaluation = lane.begun.take().or_else(|| lane.begin(&namespace, base));
            self.waiting -= waiting - lane.roles.len();
            match evaluation {
                Some(evaluation) => {
                    self.turns.push_back(namespace);
                    return NextEvaluation::Evaluate(Box::new(evaluation));
                }
                None => drop(self.lanes.remove(&namespace)),
            }
        }
        earliest.map_or(NextEvaluation::Nothing, NextEvaluation::Rest)
    }

    /// Takes back an evaluation that isn't done, after a turn that took `spent`.
    pub fn put_back(&mut self, evaluation: Evaluation, spent: Duration, now: Mono) {
        let Some(lane) = self.lanes.get_mut(&evaluation.namespace) else { return };
        lane.rest(spent, now);
        if lane.serial == evaluation.serial {
            lane.begun = Some(evaluation);
        }
    }

    /// Notes that the evaluation of the list with this serial number is done, after a turn that took `spent`.
    pub fn finish(&mut self, namespace: &str, serial: u64, spent: Duration, now: Mono) {
        let Some(lane) = self.lanes.get_mut(namespace) else { return };
        lane.rest(spent, now);
        if lane.serial == serial {
            lane.under_way.clear();
        }
    }

    /// Drops a question of the namespace that has the most; a request that needs the answer asks again.
    fn drop_one(&mut self) {
        if let Some(lane) = self.lanes.values_mut().max_by_key(|lane| lane.roles.len()) {
            self.waiting -= usize::from(lane.roles.pop_last().is_some());
        }
    }
}

impl Lane {
    fn new(list: Arc<RoleList>, serial: u64) -> Self {
        Self {
            list,
            serial,
            roles: BTreeSet::new(),
            entries: Entries::Unasked,
            begun: None,
            under_way: Vec::new(),
            rests_until: Mono::default(),
        }
    }

    /// Begins with what waits; `None`: nothing does.
    fn begin(&mut self, namespace: &Arc<str>, base: &BaseArn) -> Option<Evaluation> {
        if self.roles.is_empty() && self.entries == Entries::Unasked {
            return None;
        }
        let roles: Vec<RoleArn> = std::iter::from_fn(|| self.roles.pop_first()).take(MOST_ROLES).collect();
        self.under_way.clone_from(&roles);
        let inspection = (self.entries == Entries::Asked).then(|| Inspection::new(base));
        self.entries = Entries::Unasked;
        Some(Evaluation {
            namespace: namespace.clone(),
            list: self.list.clone(),
            serial: self.serial,
            roles: roles.into_iter().map(|role| (role, None)).collect(),
            inspection,
            entry: 0,
            expression: None,
        })
    }

    fn rest(&mut self, spent: Duration, now: Mono) {
        if spent >= LONG {
            self.rests_until = now.after(spent * REST);
        }
    }
}

/// Roles that wait for the evaluation of a list, in all namespaces together.
const MOST_WAITING: usize = 8_192;
/// Roles of one evaluation.
const MOST_ROLES: usize = 64;
/// A turn that takes less is nobody's loss.
const LONG: Duration = Duration::from_millis(1);
/// After a long turn a namespace rests so many times as long: one alone takes at most a fifth of a processor.
const REST: u32 = 4;
