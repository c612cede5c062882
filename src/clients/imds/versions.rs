//! Detects which IMDS versions the service serves, by trying both.

use super::access::{ImdsAccess, fetch_access};
use super::{ImdsCall, MetadataService};
use crate::logic::operator::doctor::ServedVersions;
use crate::logic::request::upstream::{INSTANCE_ID, ImdsFailure};
use crate::ports::Forwarded;

impl MetadataService {
    /// Requests a token, and a document without one.
    pub fn versions(&self) -> Result<ServedVersions, ImdsFailure> {
        let lease = fetch_access(&self.agent, &self.base, self.limits.token, self.clock.as_ref())?;
        let call = ImdsCall { method: Forwarded::Get, target: INSTANCE_ID, accept: None };
        let plain = self.send(&call, &ImdsAccess::V1, self.deadline())?;
        Ok(match (lease.value != ImdsAccess::V1, plain.status() == 200) {
            (true, true) => ServedVersions::Both,
            (true, false) => ServedVersions::OnlyWithToken,
            (false, true) => ServedVersions::OnlyWithoutToken,
            (false, false) => ServedVersions::Neither,
        })
    }
}
