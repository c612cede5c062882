//! Assumes a role with a token from a file, as EKS mounts it (IAM roles for service accounts). The call isn't signed.

use std::sync::Arc;
use std::time::Duration;

use super::{CredentialSource, Fetched, as_node_failure, none};
use crate::clients::sts::{StsWire, assume_with_token};
use crate::logic::base::secret::Secret;
use crate::logic::policy::OwnRole;
use crate::logic::sts::environment::WebIdentity;
use crate::logic::sts::{AssumeRole, StsFailure};
use crate::os::files::read_text;

pub(super) struct WebIdentityRole {
    request: AssumeRole,
    /// The kubelet replaces it regularly
    token_file: String,
    wire: Arc<StsWire>,
}

impl WebIdentityRole {
    pub(super) fn new(identity: WebIdentity, wire: Arc<StsWire>) -> Self {
        let WebIdentity { role, session_name, token_file } = identity;
        let request = AssumeRole {
            role,
            session_name,
            external_id: None,
            duration_s: DURATION_S,
            policy: None,
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive_tags: Vec::new(),
            subject: None,
        };
        Self { request, token_file, wire }
    }

    fn token(&self) -> Result<Secret<String>, StsFailure> {
        let token = read_text(&self.token_file).map_err(|cause| none("NoWebIdentityToken", cause))?;
        Ok(Secret::new(token.expose().trim().to_owned()))
    }
}

impl CredentialSource for WebIdentityRole {
    fn fetch(&self, timeout: Duration) -> Result<Fetched, StsFailure> {
        let assumed = assume_with_token(&self.wire, &self.request, &self.token()?, timeout);
        assumed.map(Fetched::from).map_err(as_node_failure)
    }

    fn describe(&self) -> String {
        format!("web identity `{}` for `{}`", self.token_file, self.request.role)
    }

    fn role(&self) -> Option<OwnRole> {
        Some(OwnRole::from(&self.request.role))
    }
}

/// Seconds; STS's default (STS API reference, AssumeRoleWithWebIdentity).
const DURATION_S: u32 = 3_600;
