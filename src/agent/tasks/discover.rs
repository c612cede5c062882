//! Discovers what decisions need: base ARN and default role from the metadata service, and the agent's own role from
//! STS.

use std::time::Duration;

use log::{Level, info, log, warn};

use crate::agent::state::AgentState;
use crate::agent::tasks::sts::note;
use crate::agent::wiring::session_rules;
use crate::api::metadata::Undiscovered;
use crate::clients::imds::discovery;
use crate::config::{BaseSource, Config, DefaultRoleSource as DefaultSource};
use crate::logic::base::backoff::Backoff;
use crate::logic::cluster::world::PodTokens;
use crate::logic::policy::arn::BaseArn;
use crate::logic::policy::{DefaultOrigin, DefaultRole, OwnRole, OwnRoles, Rules};
use crate::logic::sessions::session::CallsBear;
use crate::logic::sts::{StsFailure, StsFailureKind};
use crate::ports::{Imds, NodeCredentials, Sts, Waited};

/// Runs all discovery, with retries; the watches start once the rules are set.
pub(crate) fn run(agent: &AgentState) {
    match agent.config.sts.bearing {
        CallsBear::NodeSignature => info!("the node's credentials come from {}", agent.node_credentials.describe()),
        CallsBear::PodToken => info!("the node's credentials: {}", agent.node_credentials.describe()),
    }
    let discovered = || rules(&agent.config, &*agent.imds).inspect_err(|cause| undiscovered(agent, cause));
    let Some(rules) = until_done(agent, "discover roles", discovered) else { return };
    *agent.facts.undiscovered.write() = None;
    if let Some(default) = &rules.default_role {
        info!("params.iam.role" = default.role.as_str(); "pods that name no role get the default role");
    }
    agent.world.set_rules(rules);
    if agent.config.sts.bearing == CallsBear::PodToken {
        return; // the agent has no role of its own
    }
    let identity = || {
        let own = own_role(&*agent.sts, &*agent.node_credentials, |caller| {
            *agent.facts.caller.write() = Some(caller.to_owned());
        });
        note(agent, None, own.as_ref().err());
        if own.is_err() {
            // STS may never answer this call; pods must get their credentials anyway.
            let known = source_role(&*agent.node_credentials).into_iter().chain(hop(&agent.config)).collect();
            agent.world.amend_rules(|rules| rules.own_roles = OwnRoles::Found(known));
        }
        own.map_err(|failure| failure.to_string())
    };
    if let Some(own) = until_done(agent, "learn the agent's own role", identity) {
        let found = own.into_iter().chain(hop(&agent.config)).collect();
        agent.world.amend_rules(|rules| rules.own_roles = OwnRoles::Found(found));
    }
}

/// Records the last cause and its start, for `status`.
fn undiscovered(agent: &AgentState, cause: &str) {
    let mut failing = agent.facts.undiscovered.write();
    let since = failing.as_ref().map_or(agent.clock.now().mono, |failing| failing.since);
    *failing = Some(Undiscovered { since, cause: cause.to_owned() });
}

/// The agent's own roles, in one attempt, and the failure of STS, if any.
pub(crate) fn own_roles(
    config: &Config,
    sts: &dyn Sts,
    credentials: &dyn NodeCredentials,
) -> (OwnRoles, Option<String>) {
    if config.sts.bearing == CallsBear::PodToken {
        return (OwnRoles::Found(Vec::new()), None);
    }
    let (own, trouble) = match own_role(sts, credentials, |_| {}) {
        Ok(own) => (own, None),
        Err(failure) => (source_role(credentials), Some(failure.to_string())),
    };
    (OwnRoles::Found(own.into_iter().chain(hop(config)).collect()), trouble)
}

/// The node's own role, from STS's GetCallerIdentity. If STS refuses, the source of the credentials may know it;
/// otherwise no role can be recognised as the node's own.
fn own_role(
    sts: &dyn Sts,
    credentials: &dyn NodeCredentials,
    learned: impl Fn(&str),
) -> Result<Option<OwnRole>, StsFailure> {
    match sts.first_caller_identity() {
        Ok(caller) => {
            info!("caller" = caller.as_str(); "calls to STS are made as `{caller}`");
            learned(&caller);
            Ok(OwnRole::of_caller(&caller))
        }
        Err(failure) if failure.kind == StsFailureKind::Refused => {
            let own = source_role(credentials);
            match &own {
                Some(role) => {
                    info!("the node's own role is `{}`; STS refuses to name the caller: {failure}", role.name)
                }
                None => warn!("the node's own role is unknown, so pods that name it are not refused: {failure}"),
            }
            Ok(own)
        }
        Err(failure) => Err(failure),
    }
}

/// The role known to the source of the node's credentials, as with web identity.
fn source_role(credentials: &dyn NodeCredentials) -> Option<OwnRole> {
    let first = credentials.first();
    first.as_deref().unwrap_or(credentials).role()
}

/// The intermediate role, if configured.
fn hop(config: &Config) -> Option<OwnRole> {
    config.sts.assume_first.as_ref().map(OwnRole::from)
}

/// Retries until success, with backoff; `None` at shutdown. A new cause is logged as a warning.
fn until_done<T>(agent: &AgentState, what: &str, attempt: impl Fn() -> Result<T, String>) -> Option<T> {
    let (mut backoff, mut last_cause) = (Backoff::default(), None);
    loop {
        let cause = match attempt() {
            Ok(found) => return Some(found),
            Err(cause) => cause,
        };
        let rest = backoff.next(None, agent.random.number()).min(MAX_BACKOFF);
        // Repeated causes would fill the log.
        let level = if last_cause.as_ref() == Some(&cause) { Level::Debug } else { Level::Warn };
        log!(level, "retry.ms" = rest.as_millis(); "failed to {what}: {cause}");
        last_cause = Some(cause);
        if agent.latch.wait(agent.clock.now().mono.after(rest)) == Waited::ShutDown {
            return None;
        }
    }
}

/// The rules for roles, from flags and the metadata service.
pub(crate) fn rules(config: &Config, imds: &dyn Imds) -> Result<Rules, String> {
    let base = match &config.roles.base {
        BaseSource::None => BaseArn::default(),
        BaseSource::Given(base) => base.clone(),
        BaseSource::Discover => discovery::base_arn(imds).map_err(|failure| failure.cause)?,
    };
    let obeys = config.roles.default_role_obeys;
    let default = |name: &str, origin| match base.role(name) {
        Ok(role) => Some(DefaultRole { role, origin, obeys }),
        Err(cause) => {
            warn!("the default role: {cause}; pods that name no role get none");
            None
        }
    };
    let default_role = match &config.roles.default_role {
        DefaultSource::None => None,
        DefaultSource::Given(name) => default(name, DefaultOrigin::Given),
        DefaultSource::Discover => {
            let name = discovery::role_name(imds).map_err(|failure| failure.cause)?;
            default(&name, DefaultOrigin::Discovered)
        }
    };
    Ok(Rules {
        base,
        default_role,
        account_roles: config.roles.account_roles,
        restrictions: config.roles.restrictions,
        enforcement: config.roles.enforcement,
        session: session_rules(config),
        own_roles: match config.sts.bearing {
            CallsBear::NodeSignature => OwnRoles::Sought(hop(config).into_iter().collect()),
            CallsBear::PodToken => OwnRoles::Found(Vec::new()),
        },
        allowed_accounts: config.roles.allowed_accounts.clone(),
        pod_tokens: if config.listen.container_credentials { PodTokens::Accepted } else { PodTokens::Ignored },
    })
}

/// Short, since pods wait for the discovery, and the node may get its role only minutes after boot.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
