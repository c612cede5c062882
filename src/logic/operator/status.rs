//! How the agent is, as a value: `kube2iam status` prints it, `--json` as it stands here.

use std::fmt::Write;

use serde::Serialize;

/// The whole state.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgentStatus {
    pub version: String,
    pub commit: String,
    pub uptime_s: u64,
    /// `--node`
    pub node: Option<String>,
    /// What `/readyz` says
    pub ready: bool,
    /// Which process holds the port instead of the agent; `None`: the agent has it
    pub taken_port: Option<String>,
    pub pods: usize,
    pub namespaces: usize,
    pub watches: Vec<Watching>,
    /// `None` until they are discovered
    pub roles: Option<Roles>,
    pub node_credentials: NodeKeys,
    pub sessions: Sessions,
    pub limits: Vec<Limit>,
    /// `None`: the agent leaves the node's packets alone
    pub redirect: Option<RedirectReport>,
    /// `None`: without `--container-credentials`
    pub credentials_address: Option<RedirectReport>,
    pub log_level: String,
}

/// The World of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Watching {
    pub resource: String,
    /// The first list is in.
    pub listed: bool,
    /// Since the last complete list, line or bookmark; before the first list, since the start
    pub age_s: u64,
    /// Why it isn't kept current
    pub failing: Option<ServerTrouble>,
}

/// What is wrong, and since when.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerTrouble {
    pub since_s: u64,
    pub cause: String,
}

/// What the operator laid down about roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Roles {
    /// Empty: there is none
    pub base_arn: String,
    pub default_role: Option<String>,
    /// `off`, `enforce` or `audit`
    pub namespace_restrictions: String,
}

/// What the agent itself signs with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeKeys {
    pub source: String,
    /// Whose they are, once STS has named the caller
    pub caller: Option<String>,
    /// `None`: none are held yet, or they have no end
    pub expires: Option<String>,
}

/// Sessions by state, and what STS may still be asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sessions {
    pub held: usize,
    pub refused: usize,
    pub queued: usize,
    pub in_flight: usize,
    /// Calls that renewals and prefetches may make at once, of how many
    pub budget: f64,
    pub budget_burst: f64,
}

/// A limit and how far it is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Limit {
    pub name: String,
    pub used: usize,
    pub most: usize,
}

/// The redirect of pods' requests, as it was last found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RedirectReport {
    pub whole: bool,
    /// Connections that came through it since it was placed, if it counts them
    pub connections: Option<u64>,
    /// In words, a line for each fact
    pub detail: String,
}

impl AgentStatus {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("kube2iam {} ({}), up {}\n", self.version, self.commit, span(self.uptime_s));
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<18} {value}"); // writing to a String can't fail
        };
        line("node", self.node.clone().unwrap_or_else(|| "not set: all pods of the cluster are watched".to_owned()));
        line("ready", if self.ready { "yes".to_owned() } else { "no".to_owned() });
        if let Some(taken) = &self.taken_port {
            line("port", taken.clone());
        }
        line("world", format!("{} pods, {} namespaces", self.pods, self.namespaces));
        for watch in &self.watches {
            line("watch", watch.text());
        }
        line("roles", self.roles.as_ref().map_or_else(|| "not discovered yet".to_owned(), Roles::text));
        line("node credentials", self.node_credentials.text());
        line("sessions", self.sessions.text());
        for limit in &self.limits {
            line("limit", format!("{}: {} of {}", limit.name, limit.used, limit.most));
        }
        match &self.redirect {
            None => line("redirect", "left alone (no --iptables)".to_owned()),
            Some(report) => line("redirect", report.indented()),
        }
        if let Some(report) = &self.credentials_address {
            line("address", report.indented());
        }
        line("log level", self.log_level.clone());
        text
    }
}

impl RedirectReport {
    fn indented(&self) -> String {
        self.detail.trim_end().replace('\n', &format!("\n{:19}", ""))
    }
}

impl Watching {
    fn text(&self) -> String {
        let Self { resource, listed, age_s, failing } = self;
        let mut text = match listed {
            true => format!("{resource}: listed, last heard of {} ago", span(*age_s)),
            false => format!("{resource}: not listed yet"),
        };
        if let Some(ServerTrouble { since_s, cause }) = failing {
            text.push_str(&format!("; failing for {}: {cause}", span(*since_s)));
        }
        text
    }
}

impl Roles {
    fn text(&self) -> String {
        let base = if self.base_arn.is_empty() { "none" } else { &self.base_arn };
        let default = self.default_role.as_deref().unwrap_or("none");
        format!("base {base}, default {default}, namespace restrictions {}", self.namespace_restrictions)
    }
}

impl NodeKeys {
    fn text(&self) -> String {
        let mut text = self.source.clone();
        if let Some(caller) = &self.caller {
            text.push_str(&format!(", as {caller}"));
        }
        if let Some(expires) = &self.expires {
            text.push_str(&format!(", valid until {expires}"));
        }
        text
    }
}

impl Sessions {
    fn text(&self) -> String {
        let Self { held, refused, queued, in_flight, budget, budget_burst } = self;
        format!(
            "{held} held, {refused} refused, {queued} queued, {in_flight} in flight; \
             budget for renewals {budget:.0} of {budget_burst:.0}"
        )
    }
}

/// A span in the two largest units that it has.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn the_text_has_a_line_for_every_fact() {
        let status = AgentStatus {
            version: "1.2.3".into(),
            taken_port: Some("port 8181 is held".into()),
            watches: vec![
                Watching { resource: "pods".into(), listed: true, age_s: 3, failing: None },
                Watching {
                    resource: "namespaces".into(),
                    failing: Some(ServerTrouble { since_s: 61, cause: "403 Forbidden".into() }),
                    ..Watching::default()
                },
            ],
            limits: vec![Limit { name: "connections".into(), used: 3, most: 1_024 }],
            redirect: Some(RedirectReport { whole: true, connections: Some(7), detail: "whole\n7 connections".into() }),
            credentials_address: Some(RedirectReport {
                detail: "in place\n3 connections".into(),
                ..RedirectReport::default()
            }),
            ..AgentStatus::default()
        };
        let text = status.text();
        assert!(text.contains("\nport               port 8181 is held\n"), "{text}");
        for part in [
            "pods: listed, last heard of 3 s ago",
            "namespaces: not listed yet; failing for 1 min 1 s: 403",
            "connections: 3 of 1024",
            "redirect           whole\n",
            "\naddress            in place\n                   3 connections\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
