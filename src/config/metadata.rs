//! The EC2 metadata service, and what of it pods may see.

use std::net::IpAddr;

use regex_lite::{Regex, RegexBuilder};

use super::EnvironmentLookup;
use super::flags::MetadataFlags;
use super::usage::UsageError;
use super::values::{listed, one_of, or_allowed};
use crate::logic::base::url::Authority;
use crate::logic::policy::TokenRequirement;
use crate::logic::redirect::{METADATA_PORT, METADATA_V6, Metadata};

#[derive(Clone, Debug)]
pub struct MetadataConfig {
    /// Where pods' requests are proxied to: `--metadata-addr`
    pub proxied: Authority,
    /// Where the agent itself asks: the same, unless AWS's variables name another
    pub own: Authority,
    /// Whether every request must bear a session token
    pub tokens: TokenRequirement,
    /// Words of `--metadata-allow`, each one of [`KEPT_BACK`]
    pub allowed: Vec<String>,
    /// Expressions of `--metadata-deny`, blind to case
    pub denied: Vec<Regex>,
}

impl MetadataConfig {
    pub(super) fn read(flags: MetadataFlags, lookup: EnvironmentLookup<'_>) -> Result<Self, UsageError> {
        let own = own_endpoint(lookup)?.unwrap_or_else(|| flags.metadata_addr.clone());
        Ok(Self {
            proxied: flags.metadata_addr,
            own,
            tokens: flags.imds_v2,
            allowed: flags.metadata_allow,
            denied: flags.metadata_deny,
        })
    }

    /// Where pods dial the metadata service: at AWS's addresses, whatever stands behind `--metadata-addr`, and at that
    /// too if they could reach it there.
    pub fn redirected(&self) -> Metadata {
        redirected(&self.proxied)
    }

    /// Whether pods that dial `--metadata-addr` themselves are redirected, or can't do that.
    pub(super) fn is_redirected_where_proxied(&self) -> bool {
        let address = self.proxied.address();
        address.is_some_and(|address| address.is_loopback() || self.redirected().all().contains(&address))
    }
}

pub(super) fn authority(text: &str) -> Result<Authority, String> {
    or_allowed(Authority::parse(text, METADATA_PORT), "HOST, HOST:PORT or [V6]:PORT")
}

pub(super) fn token_requirement(text: &str) -> Result<TokenRequirement, String> {
    one_of(text, &TOKENS)
}

pub(super) fn kept_back(text: &str) -> Result<String, String> {
    or_allowed(KEPT_BACK.contains(&text).then(|| text.to_owned()), &listed(&KEPT_BACK))
}

pub(super) fn redirected(proxied: &Authority) -> Metadata {
    let reachable = |address: &IpAddr| proxied.port == METADATA_PORT && !address.is_loopback();
    Metadata::of(proxied.address().filter(reachable))
}

/// What AWS's variables say of the metadata service, read as SDKs read them: the endpoint wins over the mode.
fn own_endpoint(lookup: EnvironmentLookup<'_>) -> Result<Option<Authority>, UsageError> {
    if let Some(endpoint) = lookup(ENDPOINT) {
        let authority = endpoint.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let authority = authority.and_then(|text| Authority::parse(text, METADATA_PORT));
        return authority.map(Some).ok_or_else(|| UsageError::value(ENDPOINT, &endpoint, "http://HOST[:PORT]"));
    }
    match lookup(MODE) {
        None => Ok(None),
        Some(mode) if mode.eq_ignore_ascii_case("ipv4") => Ok(None),
        Some(mode) if mode.eq_ignore_ascii_case("ipv6") => {
            Ok(Some(Authority { host: METADATA_V6.to_string(), port: METADATA_PORT }))
        }
        Some(mode) => Err(UsageError::value(MODE, &mode, "IPv4 or IPv6")),
    }
}

pub(super) fn expression(text: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(text).case_insensitive(true).build();
    or_allowed(compiled.ok().filter(|_| !text.is_empty()), "a regular expression")
}

/// What pods can't read unless `--metadata-allow` names it.
const KEPT_BACK: [&str; 4] = ["user-data", "instance-identity", "fws", "managed-ssh-keys"];
const TOKENS: [(&str, TokenRequirement); 2] =
    [("optional", TokenRequirement::Optional), ("required", TokenRequirement::Required)];
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
