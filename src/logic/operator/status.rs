//! The agent's status: `kube2iam status` prints it as text, or as JSON with these keys.

use std::fmt::Write;

use serde::Serialize;

/// The complete status.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgentStatus {
    pub version: String,
    pub commit: String,
    pub uptime_s: u64,
    /// `--node`
    pub node: Option<String>,
    /// As in `/readyz`
    pub ready: bool,
    /// Why the agent isn't ready
    pub not_ready: Option<String>,
    /// What keeps credentials from pods, or soon will; most important first
    pub problems: Vec<Problem>,
    /// The API server's address
    pub api_server: String,
    /// The process that holds the agent's port; `None`: the agent has it
    pub taken_port: Option<String>,
    /// Why the port of `/metrics` isn't open
    pub missing_metrics: Option<String>,
    pub pods: usize,
    pub namespaces: usize,
    pub watches: Vec<Watching>,
    /// `None` until they are discovered
    pub roles: Option<Roles>,
    /// Why they aren't discovered
    pub undiscovered: Option<ServerTrouble>,
    pub node_credentials: NodeKeys,
    /// Why calls to STS fail
    pub sts: Option<ServerTrouble>,
    pub sessions: Sessions,
    pub limits: Vec<Limit>,
    /// `None`: the agent manages no redirect
    pub redirect: Option<RedirectReport>,
    /// `None`: without `--container-credentials`
    pub credentials_address: Option<RedirectReport>,
    /// The keys that verify tokens; `None`: without `--container-credentials`
    pub token_keys: Option<TokenKeysStatus>,
    pub log_level: String,
}

/// The known issuer of ServiceAccount tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TokenKeysStatus {
    /// `None`: it isn't known yet
    pub issuer: Option<String>,
    /// Key IDs
    pub keys: Vec<String>,
    /// Seconds since the API server last listed them
    pub age_s: Option<u64>,
    /// Why they can't be read now
    pub failing: Option<ServerTrouble>,
}

impl TokenKeysStatus {
    fn text(&self) -> String {
        let mut text = match (&self.issuer, self.age_s) {
            (Some(issuer), Some(age_s)) => {
                format!("issuer {issuer}, keys {}, read {} ago", self.keys.join(", "), span(age_s))
            }
            _ => "not known yet: container credentials are refused (keys_unknown)".to_owned(),
        };
        if let Some(ServerTrouble { since_s, cause }) = &self.failing {
            text.push_str(&format!("; failing for {}: {cause}", span(*since_s)));
        }
        text
    }
}

/// The state of one watched resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Watching {
    pub resource: String,
    /// Whether the first list is complete
    pub listed: bool,
    /// Seconds since the last complete list, event or bookmark; before the first list, since the start
    pub age_s: u64,
    /// Why it isn't current
    pub failing: Option<ServerTrouble>,
}

/// A problem that needs to be fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub what: String,
    /// Its duration, if known
    pub since_s: Option<u64>,
    /// The last error, if any
    pub cause: Option<String>,
}

/// A failure, and its duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerTrouble {
    pub since_s: u64,
    pub cause: String,
}

/// The operator's settings about roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Roles {
    /// Empty if there is none
    pub base_arn: String,
    pub default_role: Option<String>,
    /// `off`, `enforce` or `audit`
    pub namespace_restrictions: String,
}

/// The credentials that the agent signs with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeKeys {
    pub source: String,
    /// The caller's ARN, once STS has returned it
    pub caller: Option<String>,
    /// `None`: no credentials yet, or they don't expire
    pub expires: Option<String>,
    /// Why there are no credentials
    pub failing: Option<ServerTrouble>,
}

/// Sessions by state, and the remaining budget of calls to STS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sessions {
    pub held: usize,
    pub refused: usize,
    pub queued: usize,
    pub in_flight: usize,
    /// Calls that renewals and prefetches may make at once, and their maximum
    pub budget: f64,
    pub budget_burst: f64,
}

/// A limit and its usage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Limit {
    pub name: String,
    pub used: usize,
    pub most: usize,
}

/// The redirect of pods' requests, as last checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RedirectReport {
    pub whole: bool,
    /// Whether this agent manages it. One that the agent doesn't manage is shown, but is no problem of the agent.
    pub kept: bool,
    /// Connections since it was set up, if counted
    pub connections: Option<u64>,
    /// One line per fact
    pub detail: String,
}

impl AgentStatus {
    /// The status as text.
    pub fn text(&self) -> String {
        let mut text = format!("kube2iam {} ({}), up {}\n", self.version, self.commit, span(self.uptime_s));
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<18} {value}"); // writing to a String can't fail
        };
        for problem in &self.problems {
            line("PROBLEM", problem.text());
        }
        line("node", self.node.clone().unwrap_or_else(|| "not set: all pods of the cluster are watched".to_owned()));
        let why = self.not_ready.as_ref().map(|why| format!("no: {why}"));
        line("ready", if self.ready { "yes".to_owned() } else { why.unwrap_or_else(|| "no".to_owned()) });
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
        if let Some(keys) = &self.token_keys {
            line("token keys", keys.text());
        }
        line("log level", self.log_level.clone());
        text
    }
}

impl AgentStatus {
    /// The problems that follow from the rest of the status.
    pub fn find_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut find = |what: String, trouble: Option<&ServerTrouble>| {
            let (since_s, cause) =
                (trouble.map(|trouble| trouble.since_s), trouble.map(|trouble| trouble.cause.clone()));
            problems.push(Problem { what, since_s, cause });
        };
        if let Some(taken) = &self.taken_port {
            find(taken.clone(), None);
        }
        for (report, what) in [(&self.redirect, "the redirect"), (&self.credentials_address, "169.254.170.2")] {
            if let Some(report) = report.as_ref().filter(|report| report.kept && !report.whole) {
                let detail = report.detail.split_whitespace().collect::<Vec<_>>().join(" ");
                find(format!("{what} is not in place: {detail}"), None);
            }
        }
        if self.roles.is_none() {
            find("roles are not discovered".to_owned(), self.undiscovered.as_ref());
        }
        for watch in &self.watches {
            let (resource, server) = (&watch.resource, &self.api_server);
            match (watch.listed, &watch.failing) {
                (false, trouble) => find(format!("{resource} were never listed from `{server}`"), trouble.as_ref()),
                (true, Some(trouble)) => {
                    let age = span(watch.age_s);
                    find(
                        format!("{resource} can't be watched at `{server}`, what is known is {age} old"),
                        Some(trouble),
                    );
                }
                (true, None) => {}
            }
        }
        if let Some(trouble) = &self.node_credentials.failing {
            find(format!("no node credentials from {}", self.node_credentials.source), Some(trouble));
        }
        if let Some(keys) = self.token_keys.as_ref().filter(|keys| keys.failing.is_some()) {
            find("keys of ServiceAccount tokens can't be read".to_owned(), keys.failing.as_ref());
        }
        if let Some(missing) = &self.missing_metrics {
            find(missing.clone(), None);
        }
        if let Some(trouble) = &self.sts {
            find("calls to STS fail".to_owned(), Some(trouble));
        }
        problems
    }
}

impl Problem {
    fn text(&self) -> String {
        let since = self.since_s.map(|since_s| format!(", for {}", span(since_s))).unwrap_or_default();
        let cause = self.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{}{since}{cause}", self.what)
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

/// A duration in its two largest units.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests;
