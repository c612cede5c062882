//! Explains why a pod gets its role, or none: the same decision as for a request, with every step recorded.
//!
//! Nothing is decided here. [`explain`] calls `policy` and collects its steps, and adds words and facts that requests
//! never reach (a finished pod, a pod on the host network).

mod known;
mod story;
mod words;

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

pub use story::{Scene, Story, StsCall, explain};

/// The subject of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Pod { namespace: String, name: String },
    Address(IpAddr),
}

/// The complete explanation, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The pod's name, if known
    pub pod: Option<String>,
    pub namespace: Option<String>,
    /// The role's full ARN, if it was determined
    pub role: Option<String>,
    pub decision: Judgement,
    /// The reason code: why the request is refused, or would be without audit mode
    pub reason: Option<String>,
    /// `audit`: the policy would refuse, and audit mode allows
    pub policy: Option<String>,
    pub steps: Vec<ExplainedStep>,
    /// `None`: the pod gets no credentials
    pub credentials: Option<SessionState>,
    /// One sentence
    pub fix: Option<String>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Allowed,
    Refused,
}

/// A step of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    pub step: String,
    pub outcome: StepOutcome,
    pub detail: String,
}

/// The effect of a step on the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    Ok,
    /// Informational
    Note,
    Refused,
}

/// The state of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionState {
    /// `fresh`, `renewing`, `fetching`, `refused`, `failed` or `none`
    pub state: String,
    pub session_name: String,
    /// When AWS stops accepting the cached credentials
    pub expires: Option<String>,
    /// The last failure since the last success: AWS's code and message, and the time
    pub code: Option<String>,
    pub message: Option<String>,
    pub at: Option<String>,
}

impl Subject {
    /// Parses `NAMESPACE/POD` or an address.
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
    /// The outcome, the steps, then the fix.
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
            // other failures may be the network's, without a response of STS
            let who = if self.state == "refused" { "STS said" } else { "the last call failed with" };
            text.push_str(&format!(", {who} {code} at {at}: {message}"));
        }
        text
    }
}
