//! Why a pod gets its role, or none: the same decision as a request's, with every step written down.
//!
//! Nothing here decides. [`explain`] lets `policy` decide and collects its steps; what it adds are facts that a request never gets to
//! see (a pod that has finished, one on the node's network) and words.

mod known;
mod story;
mod words;

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

pub use story::{Scene, Story, StsCall, explain};

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Pod { namespace: String, name: String },
    Address(IpAddr),
}

/// The whole answer: what `--json` prints, key by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its name, if one is known
    pub pod: Option<String>,
    pub namespace: Option<String>,
    /// Full ARN, as far as one was come to
    pub role: Option<String>,
    pub decision: Judgement,
    /// A word of the closed list of reasons: why it is refused, or in audit mode would be
    pub reason: Option<String>,
    /// `audit`: the policy would refuse, and lets pass
    pub policy: Option<String>,
    pub steps: Vec<ExplainedStep>,
    /// `None`: it never comes to credentials
    pub credentials: Option<SessionState>,
    /// One sentence
    pub fix: Option<String>,
}

/// What a request would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Allowed,
    Refused,
}

/// A step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    pub step: String,
    pub outcome: StepOutcome,
    pub detail: String,
}

/// What a step did to the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    Ok,
    /// Decided nothing by itself
    Note,
    Refused,
}

/// How it stands with a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionState {
    /// `fresh`, `renewing`, `fetching`, `refused`, `failed` or `none`
    pub state: String,
    pub session_name: String,
    /// Until when AWS takes what is held
    pub expires: Option<String>,
    /// The last failure since the last success: AWS's code, its message, and when
    pub code: Option<String>,
    pub message: Option<String>,
    pub at: Option<String>,
}

impl Subject {
    /// Reads `NAMESPACE/POD` or an address.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let (namespace, name) = text.split_once('/')?;
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        (plain(namespace) && plain(name)).then(|| Self::Pod { namespace: namespace.into(), name: name.into() })
    }
}

impl Explanation {
    /// For people: the outcome first, then the steps, then what to do.
    pub fn text(&self, subject: &str) -> String {
        let mut text = self.headline(subject);
        let role = self.role.as_deref().unwrap_or("none");
        let _ = writeln!(text, "  role: {role}"); // writing to a String can't fail
        for ExplainedStep { step, outcome, detail } in &self.steps {
            let mark = match outcome {
                StepOutcome::Ok => "ok",
                StepOutcome::Note => "-",
                StepOutcome::Refused => "NO",
            };
            let _ = writeln!(text, "  {mark:<3} {step:<12} {detail}");
        }
        if let Some(credentials) = &self.credentials {
            let _ = writeln!(text, "  credentials: {}", credentials.text());
        }
        if let Some(fix) = &self.fix {
            let _ = writeln!(text, "fix: {fix}");
        }
        text
    }

    fn headline(&self, subject: &str) -> String {
        let who = match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) if *subject != format!("{namespace}/{pod}") => {
                format!("{subject} ({namespace}/{pod})")
            }
            _ => subject.to_owned(),
        };
        match (self.decision, &self.reason) {
            (Judgement::Allowed, None) => format!("{who}: allowed\n"),
            (Judgement::Allowed, Some(reason)) => {
                format!("{who}: allowed, policy=audit (would be refused: {reason})\n")
            }
            (Judgement::Refused, reason) => {
                format!("{who}: refused ({})\n", reason.as_deref().unwrap_or_default())
            }
        }
    }
}

impl SessionState {
    fn text(&self) -> String {
        let mut text = self.state.clone();
        if let Some(expires) = &self.expires {
            text.push_str(&format!(", valid until {expires}"));
        }
        if let (Some(code), Some(at)) = (&self.code, &self.at) {
            let message = self.message.as_deref().unwrap_or_default();
            // any other failure may be the network's: then STS said nothing
            let who = if self.state == "refused" { "STS said" } else { "the last try failed with" };
            text.push_str(&format!(", {who} {code} at {at}: {message}"));
        }
        text
    }
}
