//! Finds out what decisions need before roles can be given: base ARN and default role, of the metadata service.
//! And, of STS, under which role the agent itself works.

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

/// Finds everything out, however long it takes; the watches begin once the rules are set.
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
        return; // the agent works under no role
    }
    let identity = || {
        let own = own_role(&*agent.sts, &*agent.node_credentials, |caller| {
            *agent.facts.caller.write() = Some(caller.to_owned());
        });
        note(agent, None, own.as_ref().err());
        if own.is_err() {
            // STS may never answer; pods must get their credentials all the same.
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

/// For `status`: the last cause, and since when.
fn undiscovered(agent: &AgentState, cause: &str) {
    let mut failing = agent.facts.undiscovered.write();
    let since = failing.as_ref().map_or(agent.clock.now().mono, |failing| failing.since);
    *failing = Some(Undiscovered { since, cause: cause.to_owned() });
}

/// The roles under which the agent itself works, in one try, and why STS didn't say if it didn't.
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

/// The role of the node: STS names the one that signs the calls. If it won't, the source of the credentials may know;
/// if that doesn't either, no role can be recognised as the node's own.
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

/// The role that the source of the node's credentials names by itself, as web identity does.
fn source_role(credentials: &dyn NodeCredentials) -> Option<OwnRole> {
    let first = credentials.first();
    first.as_deref().unwrap_or(credentials).role()
}

/// The role on the way, if there is one.
fn hop(config: &Config) -> Option<OwnRole> {
    config.sts.assume_first.as_ref().map(OwnRole::from)
}

/// Tries until it goes well, with pauses; `None` at shutdown. A cause is a warning when it is new.
fn until_done<T>(agent: &AgentState, what: &str, attempt: impl Fn() -> Result<T, String>) -> Option<T> {
    let (mut backoff, mut said) = (Backoff::default(), None);
    loop {
        let cause = match attempt() {
            Ok(found) => return Some(found),
            Err(cause) => cause,
        };
        let rest = backoff.next(None, agent.random.number()).min(LONGEST_REST);
        // Short rests would fill the log with one line.
        let level = if said.as_ref() == Some(&cause) { Level::Debug } else { Level::Warn };
        log!(level, "retry.ms" = rest.as_millis(); "failed to {what}: {cause}");
        said = Some(cause);
        if agent.latch.wait(agent.clock.now().mono.after(rest)) == Waited::ShutDown {
            return None;
        }
    }
}

/// The rules by which roles are given, as far as flags and the metadata service say.
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

/// The node may be minutes from having its role, and pods wait for what is found out here.
const LONGEST_REST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
