//! Which versions of its protocol the metadata service speaks, found out by trying both.

use super::pass::{Pass, fetch_pass};
use super::{ImdsCall, MetadataService};
use crate::logic::operator::doctor::ServedVersions;
use crate::logic::request::upstream::{INSTANCE_ID, ImdsFailure};
use crate::ports::Forwarded;

impl MetadataService {
    /// Asks for a token, and without one.
    pub fn versions(&self) -> Result<ServedVersions, ImdsFailure> {
        let lease = fetch_pass(&self.agent, &self.base, self.limits.token, self.clock.as_ref())?;
        let ask = ImdsCall { method: Forwarded::Get, target: INSTANCE_ID, accept: None };
        let plain = self.send(&ask, &Pass::V1, self.deadline())?;
        Ok(match (lease.value != Pass::V1, plain.status() == 200) {
            (true, true) => ServedVersions::Both,
            (true, false) => ServedVersions::OnlyWithToken,
            (false, true) => ServedVersions::OnlyWithoutToken,
            (false, false) => ServedVersions::Neither,
        })
    }
}
