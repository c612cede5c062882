//! A role taken with a token from a file, as EKS mounts it (IAM roles for service accounts). The call isn't signed.

use std::sync::Arc;
use std::time::Duration;

use super::{CredentialSource, Fetched, as_nodes_own, none};
use crate::clients::sts::{StsRequest, StsWire, read_assumed};
use crate::logic::base::secret::Secret;
use crate::logic::policy::OwnRole;
use crate::logic::sts::environment::WebIdentity;
use crate::logic::sts::{StsFailure, web_identity_body};
use crate::os::files::read_text;

pub(super) struct WebIdentityRole {
    identity: WebIdentity,
    wire: Arc<StsWire>,
}

impl WebIdentityRole {
    pub(super) fn new(identity: WebIdentity, wire: Arc<StsWire>) -> Self {
        Self { identity, wire }
    }

    fn token(&self) -> Result<Secret<String>, StsFailure> {
        let token = read_text(&self.identity.token_file).map_err(|cause| none("NoWebIdentityToken", cause))?;
        Ok(Secret::new(token.expose().trim().to_owned()))
    }
}

impl CredentialSource for WebIdentityRole {
    fn fetch(&self, patience: Duration) -> Result<Fetched, StsFailure> {
        let token = self.token()?;
        let body = web_identity_body(self.identity.role.as_str(), &self.identity.session_name, &token);
        let partition = Some(self.identity.role.partition());
        let question = StsRequest { partition, body: body.expose(), signer: None };
        let reply = self.wire.ask(&question, patience)?;
        read_assumed(&reply.answer(), self.wire.moment_of(&reply)).map(Fetched::from).map_err(|mut failure| {
            failure.message = failure.message.replace(token.expose().as_str(), "[secret]");
            as_nodes_own(failure)
        })
    }

    fn describe(&self) -> String {
        format!("web identity `{}` for `{}`", self.identity.token_file, self.identity.role)
    }

    fn role(&self) -> Option<OwnRole> {
        Some(OwnRole::from(&self.identity.role))
    }
}
