//! Log lines about failures of STS or of the node's own credentials: a line when a failure begins, changes or ends,
//! and one a minute while it lasts, regardless of the number of roles and calls.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use super::status::{ServerTrouble, span};
use crate::logic::base::time::Mono;
use crate::logic::sts::{StsFailure, StsFailureKind};

/// The dependency that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    Sts,
    NodeCredentials,
}

/// The outages of all dependencies.
#[derive(Debug, Default)]
pub struct Outages {
    sts: OutageCourse,
    node_credentials: OutageCourse,
}

/// The state of one dependency.
#[derive(Debug, Default)]
struct OutageCourse {
    current: Option<Outage>,
    /// Times of the begin, change and end lines written within the last minute
    changes: VecDeque<Mono>,
}

#[derive(Debug)]
struct Outage {
    since: Mono,
    last: StsFailure,
    /// Failed calls since the last line, and their roles
    calls: u64,
    roles: BTreeSet<Box<str>>,
    summary_due: Mono,
    /// Whether a line about it was logged
    is_logged: bool,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutageLine {
    pub dependency: Dependency,
    pub kind: OutageLineKind,
    /// The code of the last failure; empty at the end
    pub code: String,
    pub text: String,
}

/// The event that a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageLineKind {
    Began,
    Changed,
    Lasts,
    Ended,
}

impl Outages {
    /// Records the result of a call; returns the lines to log. A refusal by AWS counts as a response.
    pub fn note(&mut self, role: Option<&str>, failure: Option<&StsFailure>, now: Mono) -> Vec<OutageLine> {
        let failure = failure.filter(|failure| !failure.kind.is_answer());
        match failure {
            None => {
                let ended =
                    [self.node_credentials.end(Dependency::NodeCredentials, now), self.sts.end(Dependency::Sts, now)];
                ended.into_iter().flatten().collect()
            }
            Some(failure) => {
                let dependency = Dependency::of(failure.kind);
                let course = match dependency {
                    Dependency::Sts => &mut self.sts,
                    Dependency::NodeCredentials => &mut self.node_credentials,
                };
                course.fail(dependency, role, failure, now).into_iter().collect()
            }
        }
    }

    /// The current outage of STS.
    pub fn sts(&self, now: Mono) -> Option<ServerTrouble> {
        self.sts.trouble(now)
    }

    /// The current outage of the node's own credentials.
    pub fn node_credentials(&self, now: Mono) -> Option<ServerTrouble> {
        self.node_credentials.trouble(now)
    }
}

impl Dependency {
    const fn of(kind: StsFailureKind) -> Self {
        match kind {
            StsFailureKind::NoNodeCredentials => Self::NodeCredentials,
            StsFailureKind::Refused
            | StsFailureKind::Throttled
            | StsFailureKind::Unavailable
            | StsFailureKind::NoRegion
            | StsFailureKind::Token(_) => Self::Sts,
        }
    }

    /// The value of the log field.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::NodeCredentials => "node_credentials",
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sts => "calls to STS fail",
            Self::NodeCredentials => "the node has no credentials for calls to STS",
        })
    }
}

impl OutageCourse {
    fn fail(
        &mut self,
        dependency: Dependency,
        role: Option<&str>,
        failure: &StsFailure,
        now: Mono,
    ) -> Option<OutageLine> {
        let Some(outage) = &mut self.current else {
            let is_logged = self.may_log_change(now);
            let mut outage = Outage {
                since: now,
                last: failure.clone(),
                calls: 0,
                roles: BTreeSet::new(),
                summary_due: now.after(SUMMARY_EVERY),
                is_logged,
            };
            let text =
                format!("{dependency}: {failure}; cached sessions are served until one minute before they expire");
            if !is_logged {
                outage.count(role);
            }
            self.current = Some(outage);
            return is_logged.then(|| line(dependency, OutageLineKind::Began, failure, text));
        };
        let is_new = outage.last.code != failure.code;
        outage.last = failure.clone();
        outage.count(role);
        if now >= outage.summary_due {
            let text = outage.summary(dependency, now);
            return Some(line(dependency, OutageLineKind::Lasts, failure, text));
        }
        if is_new && outage.is_logged && self.may_log_change(now) {
            let text = format!("{dependency}, now for another reason: {failure}");
            return Some(line(dependency, OutageLineKind::Changed, failure, text));
        }
        None
    }

    fn end(&mut self, dependency: Dependency, now: Mono) -> Option<OutageLine> {
        let outage = self.current.take().filter(|outage| outage.is_logged)?;
        self.changes.push_back(now);
        let lasted = span(now.since(outage.since).as_secs());
        let text = match dependency {
            Dependency::Sts => format!("STS answers again, after {lasted}"),
            Dependency::NodeCredentials => format!("the node has credentials again, after {lasted}"),
        };
        Some(OutageLine { dependency, kind: OutageLineKind::Ended, code: String::new(), text })
    }

    /// Outages that begin and end many times a minute are left to the summary.
    fn may_log_change(&mut self, now: Mono) -> bool {
        while self.changes.front().is_some_and(|at| now.since(*at) >= SUMMARY_EVERY) {
            self.changes.pop_front();
        }
        let may = self.changes.len() < MOST_CHANGES;
        if may {
            self.changes.push_back(now);
        }
        may
    }

    fn trouble(&self, now: Mono) -> Option<ServerTrouble> {
        let outage = self.current.as_ref()?;
        Some(ServerTrouble { since_s: now.since(outage.since).as_secs(), cause: outage.last.to_string() })
    }
}

impl Outage {
    fn count(&mut self, role: Option<&str>) {
        self.calls += 1;
        if let Some(role) = role.filter(|_| self.roles.len() < MOST_ROLES) {
            self.roles.insert(role.into());
        }
    }

    /// The summary of a minute; resets the counts.
    fn summary(&mut self, dependency: Dependency, now: Mono) -> String {
        let lasted = span(now.since(self.since).as_secs());
        let more = if self.roles.len() == MOST_ROLES { " or more" } else { "" };
        let text = format!(
            "{dependency}, for {lasted} now: {} calls for {}{more} roles since the last line, the last one: {}",
            self.calls,
            self.roles.len(),
            self.last
        );
        (self.calls, self.is_logged, self.summary_due) = (0, true, now.after(SUMMARY_EVERY));
        self.roles.clear();
        text
    }
}

fn line(dependency: Dependency, kind: OutageLineKind, failure: &StsFailure, text: String) -> OutageLine {
    OutageLine { dependency, kind, code: failure.code.clone(), text }
}

const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// Limit of begin, change and end lines per minute.
const MOST_CHANGES: usize = 6;
/// Limit of distinct roles counted for a summary.
const MOST_ROLES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: StsFailureKind, code: &str) -> StsFailure {
        StsFailure { kind, code: code.into(), message: "why".into(), request_id: None }
    }

    fn down() -> StsFailure {
        failure(StsFailureKind::Unavailable, "Unreachable")
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1_000)
    }

    fn kinds(lines: &[OutageLine]) -> Vec<(Dependency, OutageLineKind)> {
        lines.iter().map(|line| (line.dependency, line.kind)).collect()
    }

    #[test]
    fn an_outage_logs_its_begin_a_summary_a_minute_and_its_end() {
        let mut outages = Outages::default();
        let mut lines = Vec::new();
        for second in 0..150 {
            for role in ["a", "b", "c"] {
                lines.extend(outages.note(Some(role), Some(&down()), at(second)));
            }
        }
        lines.extend(outages.note(Some("a"), None, at(150)));
        lines.extend(outages.note(Some("b"), None, at(150)));
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "calls to STS fail: Unreachable: why; cached sessions are served until one minute before they expire",
                "calls to STS fail, for 1 min 0 s now: 180 calls for 3 roles since the last line, the last one: Unreachable: why",
                "calls to STS fail, for 2 min 0 s now: 180 calls for 3 roles since the last line, the last one: Unreachable: why",
                "STS answers again, after 2 min 30 s",
            ]
        );
    }

    #[test]
    fn a_changed_cause_is_logged_and_refusals_are_responses() {
        let mut outages = Outages::default();
        let (sts, node) = (Dependency::Sts, Dependency::NodeCredentials);
        let refused = failure(StsFailureKind::Refused, "AccessDenied");
        let none = failure(StsFailureKind::NoNodeCredentials, "NoInstanceRole");
        let throttled = failure(StsFailureKind::Throttled, "Throttling");
        let mut note = |failure: Option<&StsFailure>, second| kinds(&outages.note(None, failure, at(second)));
        assert_eq!(note(Some(&refused), 0), []);
        assert_eq!(note(Some(&down()), 1), [(sts, OutageLineKind::Began)]);
        assert_eq!(note(Some(&down()), 2), []);
        assert_eq!(note(Some(&throttled), 3), [(sts, OutageLineKind::Changed)]);
        assert_eq!(note(Some(&none), 4), [(node, OutageLineKind::Began)]);
        assert_eq!(note(Some(&refused), 5), [(node, OutageLineKind::Ended), (sts, OutageLineKind::Ended)]);
        assert_eq!(outages.sts(at(6)), None);
    }

    #[test]
    fn a_flapping_dependency_does_not_fill_the_log() {
        let mut outages = Outages::default();
        let mut lines = 0;
        for second in 0..600 {
            let outcome = (second % 2 == 0).then(down);
            lines += outages.note(Some("a"), outcome.as_ref(), at(second)).len();
        }
        assert!((10..=10 * MOST_CHANGES).contains(&lines), "{lines}");
    }

    #[test]
    fn status_has_cause_and_duration_of_an_outage() {
        let mut outages = Outages::default();
        outages.note(None, Some(&failure(StsFailureKind::NoNodeCredentials, "NoInstanceRole")), at(10));
        let trouble = ServerTrouble { since_s: 50, cause: "NoInstanceRole: why".into() };
        assert_eq!((outages.node_credentials(at(60)), outages.sts(at(60))), (Some(trouble), None));
    }

    #[test]
    fn an_outage_is_reported_per_dependency_with_duration_and_cause() {
        let mut outages = Outages::default();
        assert_eq!((outages.sts(at(0)), outages.node_credentials(at(0))), (None, None));
        outages.note(None, Some(&down()), at(5));
        let trouble = outages.sts(at(65)).unwrap();
        assert_eq!((trouble.since_s, trouble.cause.as_str()), (60, "Unreachable: why"));
        assert_eq!(outages.node_credentials(at(65)), None);
        let words = [Dependency::Sts, Dependency::NodeCredentials].map(Dependency::word);
        assert_eq!(words, ["sts", "node_credentials"]);
    }

    #[test]
    fn a_summary_of_very_many_roles_says_or_more() {
        for (roles, said) in [(256, "for 255 roles"), (257, "for 256 or more roles"), (300, "for 256 or more roles")] {
            let mut outages = Outages::default();
            for role in 0..roles {
                outages.note(Some(&format!("r{role}")), Some(&down()), at(0));
            }
            let outage = outages.sts.current.as_mut().unwrap();
            let text = outage.summary(Dependency::Sts, at(60));
            assert!(text.contains(said), "{text}");
        }
    }
}
