//! The status report of the agent.

use super::Control;
use crate::config::BUILD;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::World;
use crate::logic::operator::status::{
    AgentStatus, Limit, NodeKeys, Roles, ServerTrouble, Sessions, TokenKeysStatus, Watching,
};
use crate::logic::policy::{Enforcement, Rules};
use crate::logic::sessions::cache::{MOST_CALLS, MOST_ENTRIES};
use crate::state::issuer_keys::IssuerKeyring;

impl Control {
    pub(super) fn status(&self) -> AgentStatus {
        let now = self.service.clock.now();
        let facts = &self.service.facts;
        let taken_port = facts.taken_port.read().as_ref().map(ToString::to_string);
        let unready = facts.unready(&self.service.world, now.mono);
        let not_ready = unready.or(taken_port.is_some().then_some("another process holds the port"));
        let mut status = self.service.world.read(|world, rules| AgentStatus {
            ready: not_ready.is_none(),
            not_ready: not_ready.map(str::to_owned),
            pods: world.pods().count(),
            namespaces: world.namespaces().count(),
            watches: self.resources.iter().map(|resource| watching(world, *resource, now.mono)).collect(),
            roles: rules.map(roles),
            ..AgentStatus::default()
        });
        status.version = BUILD.version.to_owned();
        status.commit = BUILD.commit.to_owned();
        status.uptime_s = now.mono.since(self.started).as_secs();
        status.node.clone_from(&self.node);
        status.taken_port = taken_port;
        status.api_server.clone_from(&self.api_server);
        status.missing_metrics.clone_from(&facts.missing_metrics.read());
        status.undiscovered =
            facts.undiscovered.read().as_ref().map(|found| trouble(found.since, &found.cause, now.mono));
        status.node_credentials = self.node_keys(now.mono);
        status.sts = facts.outages.lock().sts(now.mono);
        status.sessions = self.sessions();
        status.limits = self.limits(&status.sessions);
        status.redirect = (self.redirect)();
        status.credentials_address = (self.credentials_address)();
        status.token_keys = self.service.proof.as_ref().map(|proof| token_keys(&proof.keys, now));
        status.log_level = self.log.get().as_str().to_ascii_lowercase();
        status.problems = status.find_problems();
        status
    }

    fn node_keys(&self, now: Mono) -> NodeKeys {
        NodeKeys {
            source: self.node_credentials.describe(),
            caller: self.service.facts.caller.read().clone(),
            expires: self.node_credentials.expiration().map(Wall::rfc3339),
            failing: self.service.facts.outages.lock().node_credentials(now),
        }
    }

    fn sessions(&self) -> Sessions {
        let counts = self.service.sessions.counts();
        let (budget, budget_burst) = self.service.sessions.budget();
        Sessions {
            held: counts.sessions,
            refused: counts.refused,
            queued: counts.queued,
            in_flight: counts.in_flight,
            budget,
            budget_burst,
        }
    }

    fn limits(&self, sessions: &Sessions) -> Vec<Limit> {
        let connections = self.service.telemetry.metrics.open_connections();
        let limits = [
            ("connections", connections, self.most_connections),
            ("calls to STS in flight", sessions.in_flight, MOST_CALLS),
            ("sessions and refusals kept", sessions.held + sessions.refused, MOST_ENTRIES),
        ];
        limits.map(|(name, used, most)| Limit { name: name.to_owned(), used, most }).to_vec()
    }
}

fn watching(world: &World, resource: Resource, now: Mono) -> Watching {
    let failing = world.failing(resource);
    Watching {
        resource: resource.to_string(),
        listed: world.is_listed(resource),
        age_s: world.age(resource, now).as_secs(),
        failing: failing.map(|failing| trouble(failing.since, &failing.cause, now)),
    }
}

fn trouble(since: Mono, cause: &str, now: Mono) -> ServerTrouble {
    ServerTrouble { since_s: now.since(since).as_secs(), cause: cause.to_owned() }
}

fn roles(rules: &Rules) -> Roles {
    let restrictions = match (rules.restrictions, rules.enforcement) {
        (None, _) => "off",
        (Some(_), Enforcement::Enforce) => "enforce",
        (Some(_), Enforcement::Audit) => "audit",
    };
    Roles {
        base_arn: rules.base.as_str().to_owned(),
        default_role: rules.default_role.as_ref().map(|default| default.role.as_str().to_owned()),
        namespace_restrictions: restrictions.to_owned(),
    }
}

fn token_keys(keys: &IssuerKeyring, now: Now) -> TokenKeysStatus {
    let issuer = keys.known().issuer;
    let issuer = issuer.as_ref();
    let failing = keys.trouble();
    TokenKeysStatus {
        issuer: issuer.map(|issuer| issuer.name.clone()),
        keys: issuer.map(|issuer| issuer.keys.ids().map(str::to_owned).collect()).unwrap_or_default(),
        age_s: issuer.map(|issuer| now.wall.since(issuer.read).as_secs()),
        failing: failing
            .map(|trouble| ServerTrouble { since_s: now.mono.since(trouble.since).as_secs(), cause: trouble.cause }),
    }
}
