//! An intermediate role: the node's credentials assume it, and its session assumes the pods' roles. Worker nodes then
//! need only one permission.

use std::sync::Arc;
use std::time::Duration;

use super::{CredentialSource, Fetched, NodeCredentials, as_node_failure};
use crate::clients::sts::{StsClient, StsWire};
use crate::logic::policy::OwnRole;
use crate::logic::sts::{AssumeRole, StsFailure};

pub(super) struct Hop {
    own: Arc<dyn NodeCredentials>,
    sts: StsClient,
    request: AssumeRole,
}

impl Hop {
    pub(super) fn new(own: Arc<dyn NodeCredentials>, request: AssumeRole, wire: Arc<StsWire>) -> Self {
        let sts = StsClient::new(wire, Arc::clone(&own));
        Self { own, sts, request }
    }
}

impl CredentialSource for Hop {
    fn fetch(&self, timeout: Duration) -> Result<Fetched, StsFailure> {
        self.sts.assume_role_within(&self.request, timeout.min(TOTAL)).map(Fetched::from).map_err(as_node_failure)
    }

    fn describe(&self) -> String {
        format!("role `{}`, assumed by {}", self.request.role, self.own.describe())
    }

    fn first(&self) -> Option<Arc<dyn NodeCredentials>> {
        Some(Arc::clone(&self.own))
    }

    fn role(&self) -> Option<OwnRole> {
        Some(OwnRole::from(&self.request.role))
    }
}

/// Includes fetching the signing credentials, so that the call that needs the hop's session still has time.
const TOTAL: Duration = Duration::from_secs(12);
