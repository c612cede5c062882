//! Which versions of its protocol the metadata service speaks, found out by trying both.

use super::pass::{Pass, fetch_pass};
use super::{ImdsCall, MetadataService};
use crate::logic::request::upstream::{INSTANCE_ID, ImdsFailure};
use crate::ports::Forwarded;

/// What was tried and went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// It gives session tokens.
    pub tokens: bool,
    /// It answers without one.
    pub without_token: bool,
}

impl MetadataService {
    /// Asks for a token, and without one.
    pub fn versions(&self) -> Result<Versions, ImdsFailure> {
        let lease = fetch_pass(&self.agent, &self.base, self.limits.token, self.clock.as_ref())?;
        let ask = ImdsCall { method: Forwarded::Get, target: INSTANCE_ID, accept: None };
        let plain = self.send(&ask, &Pass::V1, self.deadline())?;
        Ok(Versions { tokens: lease.value != Pass::V1, without_token: plain.status() == 200 })
    }
}
