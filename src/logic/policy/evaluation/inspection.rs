//! Checks the entries of a list by themselves: reports entries that can't be parsed and entries that allow more than
//! they seem to.

use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::{Format, PatternFault, shown};

/// The check of every entry of a list.
#[derive(Debug)]
pub(super) struct Inspection {
    probes: Vec<(RoleArn, Reach)>,
    /// Whether the current entry has matched all probes so far
    allows_all_below_base: bool,
    allows_all: bool,
    findings: Vec<Box<str>>,
    /// Findings beyond the limit
    more: usize,
}

/// Which roles a probe stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Roles below the base
    BelowBase,
    /// Roles of any account
    Anywhere,
}

impl Inspection {
    pub(super) fn new(base: &BaseArn) -> Self {
        let below = BASE_PROBES.iter().filter_map(|probe| Some((below_base(base, probe)?, Reach::BelowBase)));
        let anywhere = FOREIGN_PROBES.iter().filter_map(|probe| Some((RoleArn::parse(probe).ok()?, Reach::Anywhere)));
        let probes = below.chain(anywhere).collect();
        Self { probes, allows_all_below_base: true, allows_all: true, findings: Vec::new(), more: 0 }
    }

    pub(super) fn probes(&self) -> usize {
        self.probes.len()
    }

    pub(super) fn ask(&mut self, probe: usize, matches: &dyn Fn(&str) -> bool) {
        let Some((role, reach)) = self.probes.get(probe) else { return };
        let still = match reach {
            Reach::BelowBase => &mut self.allows_all_below_base,
            Reach::Anywhere => &mut self.allows_all,
        };
        *still = *still && matches(role.as_str());
    }

    pub(super) fn finish_entry(&mut self, written: &str, format: Format, base: &BaseArn) {
        let unanchored = format == Format::RegexpUnanchored;
        let shown = shown(written);
        if self.allows_all {
            self.report(&format!("`{shown}` allows every role of every account"));
        } else if self.allows_all_below_base {
            self.report(&format!("`{shown}` allows every role below the base"));
        } else if unanchored && !written.ends_with('$') {
            self.report(&format!("`{shown}` has no `$` at its end: it also allows any suffix"));
        } else if unanchored && base.as_str().is_empty() && !written.starts_with('^') {
            // with a base, the base comes first and anchors it
            self.report(&format!("`{shown}` has no `^` at its start: it also allows any prefix"));
        }
        (self.allows_all_below_base, self.allows_all) = (true, true);
    }

    pub(super) fn fault(&mut self, fault: &PatternFault) {
        self.report(&fault.to_string());
    }

    fn report(&mut self, text: &str) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(text.into());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_doubts(mut self) -> Vec<Box<str>> {
        if self.more > 0 {
            self.findings.push(format!("{} more of its entries are doubtful", self.more).into());
        }
        self.findings
    }
}

/// The probe below the base, or below an arbitrary one.
fn below_base(base: &BaseArn, probe: &str) -> Option<RoleArn> {
    let known = if base.as_str().is_empty() { BaseArn::parse(SOME_BASE).ok()? } else { base.clone() };
    known.role(probe).ok()
}

/// Dissimilar names; an entry that matches all of them allows everything.
const BASE_PROBES: [&str; 3] = ["kube2iam-probe-7f3a", "q9/Zx_1", "00000000"];
/// Roles of accounts and partitions that have nothing in common.
const FOREIGN_PROBES: [&str; 2] =
    ["arn:aws:iam::000000000000:role/kube2iam-probe-7f3a", "arn:aws-cn:iam::999999999999:role/q9/Zx_1"];
/// For patterns without a base: any account will do.
const SOME_BASE: &str = "arn:aws:iam::123456789012:role/";
/// Findings kept per list.
const MOST_FINDINGS: usize = 8;
