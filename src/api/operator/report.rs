//! What there is to say about the agent as a whole.

use std::sync::atomic::Ordering;

use super::Control;
use crate::config::BUILD;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::world::World;
use crate::logic::operator::status::{
    AgentStatus, Limit, NodeKeys, Roles, ServerTrouble, Sessions, TokenKeysStatus, Watching,
};
use crate::logic::policy::{Enforcement, Rules, needs_namespaces};
use crate::logic::sessions::cache::{MOST_CALLS, MOST_ENTRIES};
use crate::state::issuer_keys::IssuerKeyring;

impl Control {
    pub(super) fn status(&self) -> AgentStatus {
        let now = self.service.clock.now();
        let leaving = self.service.facts.shutting_down.load(Ordering::Relaxed);
        let taken_port = self.service.facts.taken_port.read().as_ref().map(ToString::to_string);
        let may_answer = !leaving && taken_port.is_none();
        let mut status = self.service.world.read(|world, rules| AgentStatus {
            ready: may_answer && rules.is_some_and(|rules| is_ready(world, rules, now.mono)),
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
        status.node_credentials = self.node_keys();
        status.sessions = self.sessions();
        status.limits = self.limits(&status.sessions);
        status.redirect = (self.redirect)();
        status.credentials_address = (self.credentials_address)();
        status.token_keys = self.service.proof.as_ref().map(|proof| token_keys(&proof.keys, now));
        status.log_level = self.log.get().as_str().to_ascii_lowercase();
        status
    }

    fn node_keys(&self) -> NodeKeys {
        NodeKeys {
            source: self.node_credentials.describe(),
            caller: self.service.facts.caller.read().clone(),
            expires: self.node_credentials.expiration().map(Wall::rfc3339),
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

fn is_ready(world: &World, rules: &Rules, now: Mono) -> bool {
    world.is_ready() && world.is_unready(|| needs_namespaces(world, rules), now).is_none()
}

fn watching(world: &World, resource: Resource, now: Mono) -> Watching {
    let failing = world.failing(resource);
    Watching {
        resource: resource.to_string(),
        listed: world.is_listed(resource),
        age_s: world.age(resource, now).as_secs(),
        failing: failing
            .map(|failing| ServerTrouble { since_s: now.since(failing.since).as_secs(), cause: failing.cause.clone() }),
    }
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
