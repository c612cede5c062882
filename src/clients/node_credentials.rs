//! The node's own credentials: the agent uses them to call STS and never passes them on.
//!
//! One source is chosen at start, the first whose variables are set, and never replaced by another: a node that
//! silently acts under another identity is worse than one that reports what is missing.

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

/// Clients that the sources use.
#[derive(Clone)]
pub struct SourceClients {
    pub imds: Arc<dyn Imds>,
    pub wire: Arc<StsWire>,
    pub clock: Arc<dyn Clock>,
}

/// The credentials of `source`; with `hop`, those of the intermediate role that they assume.
pub fn node_credentials(
    source: NodeSource,
    hop: Option<AssumeRole>,
    clients: &SourceClients,
) -> Result<Arc<dyn NodeCredentials>, Misconfigured> {
    let own: Arc<dyn NodeCredentials> = match source {
        NodeSource::Environment(keys) => Arc::new(Fixed(Arc::new(keys))),
        NodeSource::WebIdentity(identity) => {
            renewed(WebIdentityRole::new(identity, Arc::clone(&clients.wire)), clients)
        }
        NodeSource::Container(container) => renewed(ContainerEndpoint::new(container)?, clients),
        NodeSource::InstanceRole => renewed(InstanceRole::new(Arc::clone(&clients.imds)), clients),
    };
    Ok(match hop {
        Some(request) => renewed(Hop::new(own, request, Arc::clone(&clients.wire)), clients),
        None => own,
    })
}

fn renewed(source: impl CredentialSource + 'static, clients: &SourceClients) -> Arc<dyn NodeCredentials> {
    Arc::new(Renewed::new(Box::new(source), Arc::clone(&clients.clock)))
}

/// No credentials, where calls to STS carry the pods' own tokens: no source is used, and no call is signed.
pub fn none_needed() -> Arc<dyn NodeCredentials> {
    Arc::new(NoneNeeded)
}

struct NoneNeeded;

impl NodeCredentials for NoneNeeded {
    fn current(&self, _timeout: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Err(none("Unsigned", "calls to STS are not signed (--sts=web-identity)".to_owned()))
    }

    fn reload(&self, _refused: &Credentials) {}

    fn describe(&self) -> String {
        NONE_NEEDED.to_owned()
    }
}

/// A source of fresh credentials.
trait CredentialSource: Send + Sync {
    fn fetch(&self, timeout: Duration) -> Result<Fetched, StsFailure>;

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

/// The result of a fetch.
struct Fetched {
    credentials: Credentials,
    /// Remaining lifetime by the service's clock; `None` to compute it from the expiration with the local clock
    life: Option<Duration>,
}

impl From<Assumed> for Fetched {
    fn from(assumed: Assumed) -> Self {
        Self { credentials: assumed.credentials, life: Some(assumed.life) }
    }
}

/// Keys from the environment, fixed for the lifetime of the process.
struct Fixed(Arc<Credentials>);

impl NodeCredentials for Fixed {
    fn current(&self, _timeout: Duration) -> Result<Arc<Credentials>, StsFailure> {
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

/// Shown at start, by `status` and by `doctor`.
pub const NONE_NEEDED: &str = "none: calls to STS carry the pods' own tokens; the node needs no permission";

fn none(code: &str, message: String) -> StsFailure {
    StsFailure { kind: StsFailureKind::NoNodeCredentials, code: code.to_owned(), message, request_id: None }
}

/// A call refused by STS leaves the node without credentials; other failures keep their kind.
fn as_node_failure(failure: StsFailure) -> StsFailure {
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
