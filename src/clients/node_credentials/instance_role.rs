//! Credentials of the instance's role, from the metadata service.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{CredentialSource, Fetched, none};
use crate::clients::imds::discovery;
use crate::logic::policy::OwnRole;
use crate::logic::request::upstream::{ImdsFailure, ROLE_LIST, role_name};
use crate::logic::sessions::credentials::read_instance_document;
use crate::logic::sts::StsFailure;
use crate::ports::Imds;

/// Reads the role's name for each fetch: an instance's role may change while it runs.
pub(super) struct InstanceRole {
    imds: Arc<dyn Imds>,
}

impl InstanceRole {
    pub(super) fn new(imds: Arc<dyn Imds>) -> Self {
        Self { imds }
    }
}

impl CredentialSource for InstanceRole {
    fn fetch(&self, _timeout: Duration) -> Result<Fetched, StsFailure> {
        let listing = self.imds.read(ROLE_LIST).map_err(|failure| without_role(&failure))?;
        let role = role_name(&listing).map_err(|failure| without_role(&failure))?;
        let document = self.imds.read(&format!("{ROLE_LIST}{role}")).map_err(|failure| without_role(&failure))?;
        match read_instance_document(&Zeroizing::new(document)) {
            Ok(credentials) => Ok(Fetched { credentials, life: None }),
            Err(failure) => Err(none(&failure.code, failure.message)),
        }
    }

    fn describe(&self) -> String {
        "the instance's role".to_owned()
    }

    fn role(&self) -> Option<OwnRole> {
        let account = discovery::identity(&*self.imds).ok()?.account;
        Some(OwnRole { account, name: discovery::role_name(&*self.imds).ok()? })
    }
}

fn without_role(failure: &ImdsFailure) -> StsFailure {
    match failure.status {
        Some(404) => {
            none("NoInstanceRole", "the instance has no role, and no other credentials are configured".to_owned())
        }
        _ => none("NoMetadata", failure.cause.clone()),
    }
}
