//! Pods that show a token instead of being known by their address.

use super::flags::{ContainerCredentialFlags, DoorFlags};
use super::given::{Given, unless_empty};
use super::usage::UsageError;
use super::values::address;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerCredentialsConfig {
    /// One of these must be among a token's audiences.
    pub audiences: Vec<String>,
}

impl ContainerCredentialsConfig {
    /// `None` without `--container-credentials`.
    pub(super) fn read(
        flags: &ContainerCredentialFlags,
        door: &DoorFlags,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, UsageError> {
        let given = flags.token_audience.iter().map(|given| given.read(AN_AUDIENCE, audience));
        let mut audiences = given.collect::<Result<Vec<_>, _>>()?;
        if !flags.container_credentials {
            if !audiences.is_empty() {
                warnings.push("--token-audience without --container-credentials has no effect".to_owned());
            }
            return Ok(None);
        }
        if let Some(bound) = unless_empty(door.bind_address.as_ref()).filter(|given| !is_every_address(given)) {
            return Err(bound.conflict("allowed only without --container-credentials, which needs every address"));
        }
        if audiences.is_empty() {
            audiences.push(AUDIENCE.to_owned());
        }
        Ok(Some(Self { audiences }))
    }
}

fn is_every_address(given: &Given) -> bool {
    address(given).is_ok_and(|address| address.is_unspecified())
}

fn audience(text: &str) -> Option<String> {
    let is_plain = text.chars().all(|c| !c.is_control());
    ((1..=LONGEST_AUDIENCE).contains(&text.len()) && is_plain).then(|| text.to_owned())
}

const AUDIENCE: &str = "kube2iam";
/// Bytes; audiences are names or URLs.
const LONGEST_AUDIENCE: usize = 256;
const AN_AUDIENCE: &str = "a token's audience of 1 to 256 characters";
