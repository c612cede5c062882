//! Parsers of the EC2 metadata service's responses.

use std::fmt;

use serde::Deserialize;

use crate::logic::policy::arn::BaseArn;
use crate::logic::sts::endpoints::is_region;

/// Why the metadata service gave no usable response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImdsFailure {
    /// The HTTP status, if there was a response
    pub status: Option<u16>,
    pub cause: String,
}

impl fmt::Display for ImdsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// The node's role, from the listing below `iam/security-credentials/`: its first line.
pub fn role_name(listing: &str) -> Result<&str, ImdsFailure> {
    let name = listing.lines().next().unwrap_or_default().trim();
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
    if fits { Ok(name) } else { Err(unreadable(ROLE_LIST, "it names no role")) }
}

/// The base ARN of the node's account, from `iam/info`: the instance profile's ARN with its first `instance-profile`
/// replaced by `role`, cut before the first `/`, as kube2iam discovers it.
pub fn base_arn(info: &str) -> Result<BaseArn, ImdsFailure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        code: Option<String>,
        instance_profile_arn: Option<String>,
    }
    let wrong = |why: &str| unreadable(IAM_INFO, why);
    let info: Info = serde_json::from_str(info).map_err(|_| wrong("it is not the expected JSON"))?;
    if info.code.is_some_and(|code| !code.eq_ignore_ascii_case("success")) {
        return Err(wrong("its code is not `Success`"));
    }
    let profile = info.instance_profile_arn.ok_or_else(|| wrong("it names no instance profile"))?;
    let role = profile.replacen("instance-profile", "role", 1);
    BaseArn::parse(role.split('/').next().unwrap_or_default()).map_err(|error| wrong(&error.to_string()))
}

/// The region, from `placement/region`.
pub fn region(text: &str) -> Result<&str, ImdsFailure> {
    let region = text.trim();
    if is_region(region) { Ok(region) } else { Err(unreadable(REGION, "it is not a region")) }
}

/// The instance ID, from `instance-id`.
pub fn instance_id(text: &str) -> Result<&str, ImdsFailure> {
    let id = text.trim();
    let fits = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(id) } else { Err(unreadable(INSTANCE_ID, "it is not the name of an instance")) }
}

/// The parts of the identity document that the agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    pub region: String,
    /// The node's account
    pub account: String,
    pub instance_id: String,
}

/// Parses the identity document.
pub fn identity(document: &str) -> Result<InstanceIdentity, ImdsFailure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct IdentityDocument {
        region: String,
        account_id: String,
        instance_id: String,
    }
    let wrong = |why: &str| unreadable(IDENTITY, why);
    let document: IdentityDocument =
        serde_json::from_str(document).map_err(|_| wrong("it is not the expected JSON"))?;
    let numbered = !document.account_id.is_empty() && document.account_id.bytes().all(|b| b.is_ascii_digit());
    if !numbered {
        return Err(wrong("its account is not a number"));
    }
    let region = region(&document.region)?.to_owned();
    let instance_id = instance_id(&document.instance_id)?.to_owned();
    Ok(InstanceIdentity { region, account: document.account_id, instance_id })
}

fn unreadable(path: &str, why: &str) -> ImdsFailure {
    ImdsFailure { status: Some(200), cause: format!("failed to read `{path}`: {why}") }
}

/// A listing with one role name.
pub const ROLE_LIST: &str = "/latest/meta-data/iam/security-credentials/";
pub const IAM_INFO: &str = "/latest/meta-data/iam/info";
pub const REGION: &str = "/latest/meta-data/placement/region";
pub const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
pub const IDENTITY: &str = "/latest/dynamic/instance-identity/document";
/// Where tokens are issued.
pub const TOKEN: &str = "/latest/api/token";
/// Today an ID is `i-` and 17 digits.
const LONGEST_ID: usize = 128;

#[cfg(test)]
mod tests;
