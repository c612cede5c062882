//! The node's own credentials: with these the agent calls STS, and nobody else ever sees them.
//!
//! One source is chosen at the start, the first whose variables are set, and never left for another: a node that
//! quietly acts as somebody else is worse than one that says what it lacks.

mod container;
mod hop;
mod instance_role;
mod renewed;
mod web_identity;

use std::sync::Arc;
use std::time::Duration;

use super::sts::StsWire;
use crate::clients::http::Misconfigured;
use crate::logic::base::time::Wall;
use crate::logic::policy::OwnRole;
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::environment::NodeSource;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure, StsFailureKind, TokenRefusal};
use crate::ports::{Clock, Imds, NodeCredentials};

use container::ContainerEndpoint;
use hop::Hop;
use instance_role::InstanceRole;
use renewed::Renewed;
use web_identity::WebIdentityRole;

/// What the sources ask.
#[derive(Clone)]
pub struct SourceClients {
    pub imds: Arc<dyn Imds>,
    pub wire: Arc<StsWire>,
    pub clock: Arc<dyn Clock>,
}

/// The credentials that `source` stands for; with `hop`, those of the role that they may assume first.
pub fn node_credentials(
    source: NodeSource,
    hop: Option<AssumeRole>,
    listeners: &SourceClients,
) -> Result<Arc<dyn NodeCredentials>, Misconfigured> {
    let own: Arc<dyn NodeCredentials> = match source {
        NodeSource::Environment(keys) => Arc::new(Fixed(Arc::new(keys))),
        NodeSource::WebIdentity(identity) => {
            renewed(WebIdentityRole::new(identity, Arc::clone(&listeners.wire)), listeners)
        }
        NodeSource::Container(container) => renewed(ContainerEndpoint::new(container)?, listeners),
        NodeSource::InstanceRole => renewed(InstanceRole::new(Arc::clone(&listeners.imds)), listeners),
    };
    Ok(match hop {
        Some(request) => renewed(Hop::new(own, request, Arc::clone(&listeners.wire)), listeners),
        None => own,
    })
}

fn renewed(source: impl CredentialSource + 'static, listeners: &SourceClients) -> Arc<dyn NodeCredentials> {
    Arc::new(Renewed::new(Box::new(source), Arc::clone(&listeners.clock)))
}

/// No credentials at all, where calls to STS bear the pods' own tokens: nothing is looked for, and nothing is signed.
pub fn none_needed() -> Arc<dyn NodeCredentials> {
    Arc::new(NoneNeeded)
}

struct NoneNeeded;

impl NodeCredentials for NoneNeeded {
    fn current(&self, _patience: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Err(none("Unsigned", "calls to STS are not signed (--sts=web-identity)".to_owned()))
    }

    fn reload(&self, _refused: &Credentials) {}

    fn describe(&self) -> String {
        NONE_NEEDED.to_owned()
    }
}

/// Where fresh credentials are fetched. Each call is a fetch.
trait CredentialSource: Send + Sync {
    fn fetch(&self, patience: Duration) -> Result<Fetched, StsFailure>;

    fn describe(&self) -> String;

    /// As of [`NodeCredentials`].
    fn first(&self) -> Option<Arc<dyn NodeCredentials>> {
        None
    }

    /// As of [`NodeCredentials`].
    fn role(&self) -> Option<OwnRole> {
        None
    }
}

/// What a source gave.
struct Fetched {
    credentials: Credentials,
    /// By the clock of the service that gave them; `None`: computed from their end by our own
    life: Option<Duration>,
}

impl From<Assumed> for Fetched {
    fn from(assumed: Assumed) -> Self {
        Self { credentials: assumed.credentials, life: Some(assumed.life) }
    }
}

/// The keys of the environment: they stay as long as the process.
struct Fixed(Arc<Credentials>);

impl NodeCredentials for Fixed {
    fn current(&self, _patience: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Ok(Arc::clone(&self.0))
    }

    fn reload(&self, _refused: &Credentials) {}

    fn expiration(&self) -> Option<Wall> {
        self.0.expiration
    }

    fn describe(&self) -> String {
        "environment variables".to_owned()
    }
}

/// Said at start, by `status` and by `doctor`.
pub const NONE_NEEDED: &str = "none: calls to STS carry the pods' own tokens; the node needs no permission";

fn none(code: &str, message: String) -> StsFailure {
    StsFailure { kind: StsFailureKind::NoNodeCredentials, code: code.to_owned(), message, request_id: None }
}

/// What STS refuses the node leaves it without credentials; its other failures mean here what they mean anywhere.
fn as_nodes_own(failure: StsFailure) -> StsFailure {
    match failure.kind {
        StsFailureKind::Token(TokenRefusal::IssuerUnreachable) => {
            StsFailure { kind: StsFailureKind::Unavailable, ..failure }
        }
        StsFailureKind::Refused | StsFailureKind::Token(_) => {
            StsFailure { kind: StsFailureKind::NoNodeCredentials, ..failure }
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
