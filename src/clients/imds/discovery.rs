//! Discovers facts about the node, with one or two reads each. The caller retries.

use std::time::Duration;

use crate::logic::policy::arn::BaseArn;
use crate::logic::request::upstream::{self, IAM_INFO, IDENTITY, INSTANCE_ID, ImdsFailure, REGION, ROLE_LIST};
use crate::ports::Imds;

/// The region: `placement/region`, or the identity document on services without that path.
pub fn region(service: &dyn Imds) -> Result<String, ImdsFailure> {
    match service.read(REGION) {
        Ok(text) => upstream::region(&text).map(str::to_owned),
        Err(ImdsFailure { status: Some(404), .. }) => identity(service).map(|identity| identity.region),
        Err(failure) => Err(failure),
    }
}

/// Region, account and instance id.
pub fn identity(service: &dyn Imds) -> Result<upstream::InstanceIdentity, ImdsFailure> {
    upstream::identity(&service.read(IDENTITY)?)
}

pub fn instance_id(service: &dyn Imds) -> Result<String, ImdsFailure> {
    upstream::instance_id(&service.read(INSTANCE_ID)?).map(str::to_owned)
}

/// The name of the node's own role.
pub fn role_name(service: &dyn Imds) -> Result<String, ImdsFailure> {
    upstream::role_name(&service.read(ROLE_LIST)?).map(str::to_owned)
}

/// The base ARN that `--auto-discover-base-arn` uses.
pub fn base_arn(service: &dyn Imds) -> Result<BaseArn, ImdsFailure> {
    upstream::base_arn(&service.read(IAM_INFO)?)
}

/// Two reads, each of which ends within 2 s.
pub(crate) const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(4);
