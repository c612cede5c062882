//! Which namespace's list is evaluated next: namespaces take turns, and those with slow lists get fewer turns. A namespace
//! that hasn't had a turn yet goes first: most lists need only one, and would otherwise wait for a turn of every slow one.

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
    /// Lanes without a turn so far; each lane is in here or in `turns`, exactly once
    newcomers: VecDeque<Arc<str>>,
    turns: VecDeque<Arc<str>>,
    /// Roles waiting in all lanes together
    waiting: usize,
}

/// The open questions about one namespace's list.
#[derive(Debug)]
struct Lane {
    list: Arc<RoleList>,
    serial: u64,
    /// A set, so that a repeated question is stored once
    roles: BTreeSet<RoleArn>,
    entries: Entries,
    /// Started, and waiting for its next turn
    begun: Option<Evaluation>,
    /// The roles of the started evaluation, whether it is waiting or running
    under_way: Vec<RoleArn>,
    /// A slow list gets no turn before this time
    rests_until: Mono,
    turn: Turn,
}

/// Whether a lane has had a turn. Requests that wait ask again and again; lanes that had one aren't sought in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Awaited,
    Had,
}

/// Whether the entries are to be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    Unasked,
    Asked,
}

/// The next thing to do.
#[derive(Debug)]
pub enum NextEvaluation {
    Evaluate(Box<Evaluation>),
    /// Nothing before this time
    Rest(Mono),
    Nothing,
}

impl EvaluationQueue {
    pub fn ask(&mut self, question: ListQuestion) {
        let ListQuestion { namespace, list, serial, about } = question;
        let lane = self.lanes.entry(namespace.clone()).or_insert_with(|| {
            self.newcomers.push_back(namespace.clone());
            Lane::new(list.clone(), serial)
        });
        if serial < lane.serial {
            return;
        }
        if serial > lane.serial {
            self.waiting -= lane.roles.len();
            *lane = Lane { rests_until: lane.rests_until, turn: lane.turn, ..Lane::new(list, serial) };
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

    /// Adds a question whose answer a request waits for: among the newcomers its namespace is next.
    pub fn ask_first(&mut self, question: ListQuestion) {
        let namespace = question.namespace.clone();
        self.ask(question);
        let is_newcomer = self.lanes.get(&namespace).is_some_and(|lane| lane.turn == Turn::Awaited);
        if !is_newcomer || self.newcomers.front() == Some(&namespace) {
            return;
        }
        if let Some(place) = self.newcomers.iter().position(|newcomer| *newcomer == namespace) {
            self.newcomers.remove(place);
            self.newcomers.push_front(namespace);
        }
    }

    /// The evaluation whose turn it is.
    pub fn next(&mut self, now: Mono, base: &BaseArn) -> NextEvaluation {
        let mut earliest = None;
        for _ in 0..self.newcomers.len() + self.turns.len() {
            let Some(namespace) = self.newcomers.pop_front().or_else(|| self.turns.pop_front()) else { break };
            let Some(lane) = self.lanes.get_mut(&namespace) else { continue };
            lane.turn = Turn::Had;
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

    /// Takes back an unfinished evaluation after a turn that took `spent`.
    pub fn put_back(&mut self, evaluation: Evaluation, spent: Duration, now: Mono) {
        let Some(lane) = self.lanes.get_mut(&evaluation.namespace) else { return };
        lane.rest(spent, now);
        if lane.serial == evaluation.serial {
            lane.begun = Some(evaluation);
        }
    }

    /// Records that the evaluation of the list with this serial number has finished, after a turn that took `spent`.
    pub fn finish(&mut self, namespace: &str, serial: u64, spent: Duration, now: Mono) {
        let Some(lane) = self.lanes.get_mut(namespace) else { return };
        lane.rest(spent, now);
        if lane.serial == serial {
            lane.under_way.clear();
        }
    }

    /// Drops a question of the namespace that has the most; a request that needs the result asks again.
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
            turn: Turn::Awaited,
        }
    }

    /// Starts an evaluation of the waiting questions; `None` if there are none.
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
        if spent >= LONG_TURN {
            self.rests_until = now.after(spent * REST_FACTOR);
        }
    }
}

/// Roles waiting for evaluation, in all namespaces together.
const MOST_WAITING: usize = 8_192;
/// Roles per evaluation.
const MOST_ROLES: usize = 64;
/// A shorter turn doesn't delay other namespaces noticeably.
const LONG_TURN: Duration = Duration::from_millis(1);
/// After a long turn a namespace rests for this multiple of it, so that one namespace uses at most a fifth of a CPU.
const REST_FACTOR: u32 = 4;
