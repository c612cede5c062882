//! The endpoint of STS, without any network request: from the region, a table of partitions, and the operator's
//! settings.
//!
//! Source of the table and the rules: the partitions and the STS endpoint rule set that AWS publishes with its SDKs.

use crate::logic::base::url::ServiceUrl;
use crate::logic::sts::{StsFailure, StsFailureKind};

/// The settings that determine the endpoint of STS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StsEndpoints {
    /// `None`: ask the metadata service
    pub region: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub dual_stack: bool,
    /// `AWS_STS_REGIONAL_ENDPOINTS=legacy`: the global endpoint, where one exists
    pub legacy_global: bool,
    /// `AWS_ENDPOINT_URL_STS`
    pub override_sts: Option<ServiceUrl>,
    /// `AWS_ENDPOINT_URL`
    pub override_all: Option<ServiceUrl>,
}

/// The URL to call, and the region to sign for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Includes a path, at least `/`
    pub url: String,
    /// The `Host` header, which the signature covers
    pub host: String,
    pub signing_region: String,
}

impl StsEndpoints {
    /// The endpoint for a call about a role in `partition`, which is used only if the region's name doesn't determine
    /// the partition.
    pub fn endpoint(&self, partition: Option<&str>) -> Result<Endpoint, StsFailure> {
        let region = self.region.as_deref().ok_or_else(|| no_region("NoRegion", NO_REGION.to_owned()))?;
        if !is_region(region) {
            return Err(no_region("InvalidRegion", format!("`{}` is not a region", region.escape_debug())));
        }
        if let Some(url) = self.override_sts.as_ref().or(self.override_all.as_ref()) {
            let target = if url.target().is_empty() { "/" } else { "" };
            return Ok(endpoint_at(format!("{url}{target}"), url.authority(), region));
        }
        let partition = partition_of(region)
            .or_else(|| PARTITIONS.iter().find(|known| Some(known.name) == partition))
            .ok_or_else(|| no_region("UnknownRegion", format!("no endpoint of STS is known for region `{region}`")))?;
        let global = self.legacy_global && partition.name == "aws" && !self.fips && !self.dual_stack;
        if global || region == GLOBAL {
            return Ok(endpoint_at(format!("https://{GLOBAL_HOST}/"), GLOBAL_HOST, GLOBAL_REGION));
        }
        let host = self.host(region, partition);
        Ok(endpoint_at(format!("https://{host}/"), &host, region))
    }

    fn host(&self, region: &str, partition: &Partition) -> String {
        // In us-gov the standard endpoints are FIPS endpoints; separate ones exist only for dual-stack.
        let plain_is_fips = partition.name == "aws-us-gov" && !self.dual_stack;
        let service = if self.fips && !plain_is_fips { "sts-fips" } else { "sts" };
        let suffix = if self.dual_stack { partition.dual_stack_suffix } else { partition.suffix };
        format!("{service}.{region}.{suffix}")
    }
}

/// The partition whose region names have the prefix of `region`.
fn partition_of(region: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.prefixes.iter().any(|prefix| region.starts_with(prefix)))
}

/// Whether `text` is valid as a region in a host name and in a signature, whether or not AWS has such a region.
pub fn is_region(text: &str) -> bool {
    text.len() <= LONGEST_REGION
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn endpoint_at(url: String, host: &str, signing_region: &str) -> Endpoint {
    Endpoint { url, host: host.to_owned(), signing_region: signing_region.to_owned() }
}

fn no_region(code: &str, message: String) -> StsFailure {
    StsFailure { kind: StsFailureKind::NoRegion, code: code.to_owned(), message, request_id: None }
}

struct Partition {
    name: &'static str,
    prefixes: &'static [&'static str],
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

/// More specific prefixes come first.
const PARTITIONS: [Partition; 8] = [
    Partition { name: "aws-us-gov", prefixes: &["us-gov-"], suffix: "amazonaws.com", dual_stack_suffix: "api.aws" },
    Partition { name: "aws-iso", prefixes: &["us-iso-"], suffix: "c2s.ic.gov", dual_stack_suffix: "api.aws.ic.gov" },
    Partition {
        name: "aws-iso-b",
        prefixes: &["us-isob-"],
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
    },
    Partition {
        name: "aws-iso-e",
        prefixes: &["eu-isoe-"],
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
    },
    Partition {
        name: "aws-iso-f",
        prefixes: &["us-isof-"],
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
    },
    Partition {
        name: "aws-eusc",
        prefixes: &["eusc-"],
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
    },
    Partition {
        name: "aws-cn",
        prefixes: &["cn-"],
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
    },
    Partition {
        name: "aws",
        prefixes: &["us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-", GLOBAL],
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
    },
];

/// The SDKs' name of the global region.
const GLOBAL: &str = "aws-global";
const GLOBAL_HOST: &str = "sts.amazonaws.com";
const GLOBAL_REGION: &str = "us-east-1";
/// Limit of a host name's label (RFC 1035, section 2.3.4).
const LONGEST_REGION: usize = 63;
const NO_REGION: &str = "no region is known: set AWS_REGION, or let the metadata service be reached";

#[cfg(test)]
mod tests;
