//! Where STS is, without asking the network: from the region, a table of the partitions, and what the operator set.
//!
//! Source of the table and the rules: the partitions and the STS endpoint rule set that AWS publishes with its SDKs.

use crate::logic::base::url::ServiceUrl;
use crate::logic::sts::{StsFailure, StsFailureKind};

/// What decides where STS is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StsEndpoints {
    /// `None`: to be found out at the metadata service.
    pub region: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub dual_stack: bool,
    /// `AWS_STS_REGIONAL_ENDPOINTS=legacy`: the global endpoint, where there is one
    pub legacy_global: bool,
    /// `AWS_ENDPOINT_URL_STS`
    pub override_sts: Option<ServiceUrl>,
    /// `AWS_ENDPOINT_URL`
    pub override_all: Option<ServiceUrl>,
}

/// Where to send a call, and for which region to sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// With a path, at least `/`
    pub url: String,
    /// The `Host` header, which the signature covers
    pub host: String,
    pub signing_region: String,
}

impl StsEndpoints {
    /// The endpoint for a call about something in `partition` (of the role's ARN), which only counts
    /// if the region's own name doesn't decide.
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
        // In us-gov the plain endpoints are FIPS endpoints, and there are no others unless dual-stack is asked for.
        let plain_is_fips = partition.name == "aws-us-gov" && !self.dual_stack;
        let service = if self.fips && !plain_is_fips { "sts-fips" } else { "sts" };
        let suffix = if self.dual_stack { partition.dual_stack_suffix } else { partition.suffix };
        format!("{service}.{region}.{suffix}")
    }
}

/// The partition whose regions are named like `region`.
fn partition_of(region: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.prefixes.iter().any(|prefix| region.starts_with(prefix)))
}

/// Whether `text` may stand in a host name and in a signature as a region. Not whether AWS has built it.
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

/// The narrow prefixes come before the wide ones.
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

/// The SDKs' name for "no region in particular".
const GLOBAL: &str = "aws-global";
const GLOBAL_HOST: &str = "sts.amazonaws.com";
const GLOBAL_REGION: &str = "us-east-1";
/// A label of a host name is no longer (RFC 1035, section 2.3.4).
const LONGEST_REGION: usize = 63;
const NO_REGION: &str = "no region is known: set AWS_REGION, or let the metadata service be reached";

#[cfg(test)]
mod tests;
