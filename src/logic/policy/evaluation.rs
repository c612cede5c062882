//! Evaluation of namespaces' lists of allowed roles, outside of request threads and locks.
//!
//! A tenant determines how long a list takes to evaluate. So a separate thread evaluates it when a list or a role
//! changes, in small steps, taking the namespaces in turn; a decision only looks up the result.

mod inspection;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Rules;
use super::ahead::concerned;
use super::role::role_of;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::{Change, HeldList, HeldPod, ListResults, Novelty, World};
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::{FirstMatch, Format, Matcher, RoleList, glob_below};
use crate::logic::policy::trace::no_trace;
use inspection::Inspection;
pub use queue::{EvaluationQueue, NextEvaluation};

/// A result about a namespace's list that is missing and will be needed.
#[derive(Clone, Debug)]
pub struct ListQuestion {
    pub namespace: Arc<str>,
    pub list: Arc<RoleList>,
    /// [`HeldList::serial`]
    pub serial: u64,
    pub about: About,
}

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Whether an entry allows this role
    Role(RoleArn),
    /// What is doubtful about the entries themselves
    Entries,
}

/// The questions that a change leaves open.
pub fn questions(world: &World, rules: &Rules, change: &Change) -> Vec<ListQuestion> {
    if rules.restrictions.is_none() || !world.is_ready() {
        return Vec::new();
    }
    let entries: Vec<ListQuestion> = match change {
        Change::NamespaceApplied { name, .. } => world
            .namespace(name)
            .and_then(|held| about_entries(name, held.allowed_roles.as_ref()?))
            .into_iter()
            .collect(),
        Change::Listed(..) => {
            // In the order of names, not of hashes, as in `concerned`.
            let mut lists = BTreeMap::new();
            for (name, held) in world.namespaces() {
                let open = held.allowed_roles.as_ref().and_then(|list| about_entries(name, list));
                lists.extend(open.map(|question| (name, question)));
            }
            lists.into_values().collect()
        }
        _ => Vec::new(),
    };
    let roles = concerned(world, change).into_iter().filter_map(|pod| question(world, rules, pod));
    entries.into_iter().chain(roles).collect()
}

/// The question to answer before the policy can decide whether `pod` may have its role.
pub fn question(world: &World, rules: &Rules, pod: &HeldPod) -> Option<ListQuestion> {
    rules.restrictions.filter(|_| world.can_have_role(pod))?;
    let role = role_of(world, rules, pod, &mut no_trace).ok().filter(|role| !rules.exempts(role))?;
    let held = world.namespace(&pod.namespace)?.allowed_roles.as_ref()?;
    held.first_match(&role).is_none().then(|| ask(pod.namespace.clone(), held, About::Role(role)))
}

fn about_entries(namespace: &str, held: &HeldList) -> Option<ListQuestion> {
    let open = held.findings().is_none() && !held.list().is_empty();
    open.then(|| ask(namespace.into(), held, About::Entries))
}

fn ask(namespace: Arc<str>, held: &HeldList, about: About) -> ListQuestion {
    ListQuestion { namespace, list: held.list().clone(), serial: held.serial(), about }
}

/// Answers all open questions about pods' roles at once, however long that takes. Only for a World that no request
/// waits for.
pub fn evaluate_all(world: &mut World, rules: &Rules) {
    let mut open_before = usize::MAX;
    loop {
        let all = Change::Listed(Resource::Pods, Novelty::News);
        let open: Vec<_> =
            questions(world, rules, &all).into_iter().filter(|question| question.about != About::Entries).collect();
        // The queue drops questions when there are very many; those are still open.
        if open.is_empty() || open.len() >= open_before {
            return;
        }
        open_before = open.len();
        let mut queue = EvaluationQueue::default();
        open.into_iter().for_each(|question| queue.ask(question));
        while let NextEvaluation::Evaluate(mut evaluation) = queue.next(Mono::default(), &rules.base) {
            while evaluation.step(&rules.base) == EvaluationProgress::More {}
            let results = evaluation.into_results();
            let (namespace, serial) = (results.namespace.clone(), results.serial);
            world.record(results);
            queue.finish(&namespace, serial, Duration::ZERO, Mono::default());
        }
    }
}

/// A list under evaluation: every entry is compiled once, matched against every role, and dropped.
#[derive(Debug)]
pub struct Evaluation {
    namespace: Arc<str>,
    list: Arc<RoleList>,
    serial: u64,
    roles: Vec<(RoleArn, FirstMatch)>,
    inspection: Option<Inspection>,
    entry: usize,
    /// The compiled entry, and how many roles and probes it has been matched against
    expression: Option<(Matcher, usize)>,
}

/// Whether an evaluation is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationProgress {
    More,
    Done,
}

impl Evaluation {
    /// Runs one step: one match of a regular expression, or all matches of a glob, which are cheaper.
    pub fn step(&mut self, base: &BaseArn) -> EvaluationProgress {
        if self.entry >= self.list.len() {
            return EvaluationProgress::Done;
        }
        if self.list.format == Format::Glob {
            let list = self.list.clone();
            let glob = list.entry(self.entry);
            (0..self.subjects()).for_each(|subject| self.ask(subject, &|role| glob_below(glob, role, base)));
            self.finish_entry(base);
            return EvaluationProgress::More;
        }
        match self.expression.take() {
            None => match Matcher::compile(self.list.entry(self.entry), self.list.format, base) {
                Ok(matcher) => self.expression = Some((matcher, 0)),
                Err(fault) => {
                    if let Some(inspection) = &mut self.inspection {
                        inspection.fault(&fault);
                    }
                    self.entry += 1;
                }
            },
            Some((_, subject)) if subject >= self.subjects() => self.finish_entry(base),
            Some((matcher, subject)) => {
                self.ask(subject, &|role| matcher.matches(role, base));
                self.expression = Some((matcher, subject + 1));
            }
        }
        EvaluationProgress::More
    }

    fn subjects(&self) -> usize {
        self.roles.len() + self.inspection.as_ref().map_or(0, Inspection::probes)
    }

    /// Matches the entry against one role or probe.
    fn ask(&mut self, subject: usize, matches: &dyn Fn(&str) -> bool) {
        match self.roles.get_mut(subject) {
            Some((role, first_match)) => {
                if first_match.is_none() && matches(role.as_str()) {
                    *first_match = u16::try_from(self.entry).ok();
                }
            }
            None => {
                let probe = subject - self.roles.len();
                self.inspection.iter_mut().for_each(|inspection| inspection.ask(probe, matches));
            }
        }
    }

    fn finish_entry(&mut self, base: &BaseArn) {
        let written = self.list.entry(self.entry);
        self.inspection.iter_mut().for_each(|inspection| inspection.finish_entry(written, self.list.format, base));
        self.entry += 1;
    }

    pub fn into_results(self) -> ListResults {
        let findings = self.inspection.map(Inspection::into_doubts);
        ListResults { namespace: self.namespace, serial: self.serial, matches: self.roles, findings }
    }
}

#[cfg(test)]
mod tests;
