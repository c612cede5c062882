//! What has to be found out before roles can be told: base ARN and default role, of the metadata service.
//! And, of STS, under which role the agent itself works.

use std::time::Duration;

use log::{info, warn};

use super::build::{Rooms, session_rules};
use crate::config::{BaseSource, DefaultRole as DefaultSource, PolicyMode};
use crate::edge::imds::discovery;
use crate::logic::arn::BaseArn;
use crate::logic::backoff::Backoff;
use crate::logic::policy::{AccountRoles, DefaultObeys, DefaultOrigin, DefaultRole, Enforcement, OwnRole, Rules};
use crate::ports::Waited;

/// Finds everything out, however long it takes; the watches begin once the rules are set.
pub(super) fn run(rooms: &Rooms) {
    info!("the node's credentials come from {}", rooms.node_credentials.describe());
    let Some(rules) = until_done(rooms, "discover roles", || rules(rooms)) else { return };
    if let Some(default) = &rules.default_role {
        info!("params.iam.role" = default.role.as_str(); "pods that name no role get the default role");
    }
    rooms.registry.set_rules(rules);
    let identity = || rooms.sts.caller_identity().map_err(|failure| failure.to_string());
    if let Some(caller) = until_done(rooms, "learn the agent's own role", identity) {
        info!("caller" = caller.as_str(); "calls to STS are made as `{caller}`");
        *rooms.facts.caller.write() = Some(caller.clone());
        rooms.registry.amend_rules(|rules| rules.own_role = OwnRole::of_caller(&caller));
    }
}

/// Tries until it goes well, with pauses; `None` at shutdown.
fn until_done<T>(rooms: &Rooms, what: &str, attempt: impl Fn() -> Result<T, String>) -> Option<T> {
    let mut backoff = Backoff::default();
    loop {
        let cause = match attempt() {
            Ok(found) => return Some(found),
            Err(cause) => cause,
        };
        let rest = backoff.next(None, rooms.dice.number());
        warn!("retry.ms" = rest.as_millis(); "failed to {what}: {cause}");
        if rooms.latch.wait(rooms.clock.now().mono.after(rest.min(LONGEST_REST))) == Waited::ShutDown {
            return None;
        }
    }
}

fn rules(rooms: &Rooms) -> Result<Rules, String> {
    let config = &rooms.config;
    let base = match &config.roles.base {
        BaseSource::None => BaseArn::default(),
        BaseSource::Given(base) => base.clone(),
        BaseSource::Discover => discovery::base_arn(&*rooms.imds).map_err(|failure| failure.cause)?,
    };
    let obeys = if config.roles.default_role_restricted { DefaultObeys::Namespaces } else { DefaultObeys::Nothing };
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
            let name = discovery::role_name(&*rooms.imds).map_err(|failure| failure.cause)?;
            default(&name, DefaultOrigin::Discovered)
        }
    };
    Ok(Rules {
        base,
        default_role,
        account_roles: if config.roles.service_account_roles { AccountRoles::Read } else { AccountRoles::Ignored },
        restrictions: config.roles.restrictions,
        enforcement: match config.roles.mode {
            PolicyMode::Enforce => Enforcement::Enforce,
            PolicyMode::Audit => Enforcement::Audit,
        },
        session: session_rules(config),
        own_role: None,
        allowed_accounts: config.roles.allowed_accounts.clone(),
    })
}

/// The node may be minutes from having its role, and pods wait for this.
const LONGEST_REST: Duration = Duration::from_secs(5);
