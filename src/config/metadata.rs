//! The EC2 metadata service, and which of its paths pods may read.

use std::net::IpAddr;

use regex_lite::{Regex, RegexBuilder};

use super::EnvironmentLookup;
use super::flags::MetadataFlags;
use super::usage::UsageError;
use super::values::{listed, one_of, or_allowed};
use crate::logic::base::url::Authority;
use crate::logic::policy::TokenRequirement;
use crate::logic::redirect::{METADATA_PORT, METADATA_V6, Metadata};
use crate::logic::request::route::BLOCKED;

#[derive(Clone, Debug)]
pub struct MetadataConfig {
    /// The target of proxied requests: `--metadata-addr`
    pub proxied: Authority,
    /// The service for the agent's own requests: the same, unless AWS's environment variables name another
    pub own: Authority,
    /// Whether every request must carry a session token
    pub tokens: TokenRequirement,
    /// Words of `--metadata-allow`, each one of [`BLOCKED`]
    pub allowed: Vec<String>,
    /// Expressions of `--metadata-deny`, case-insensitive
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

    /// The addresses that pods use for the metadata service: AWS's own and, if pods can reach it, that of
    /// `--metadata-addr`.
    pub fn redirected(&self) -> Metadata {
        redirected(&self.proxied)
    }

    /// Whether pods' own connections to `--metadata-addr` are redirected or impossible.
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

pub(super) fn blocked(text: &str) -> Result<String, String> {
    or_allowed(BLOCKED.contains(&text).then(|| text.to_owned()), &listed(&BLOCKED))
}

pub(super) fn redirected(proxied: &Authority) -> Metadata {
    let reachable = |address: &IpAddr| proxied.port == METADATA_PORT && !address.is_loopback();
    Metadata::of(proxied.address().filter(reachable))
}

/// The metadata service in AWS's environment variables. As in the SDKs, the endpoint overrides the mode.
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

const TOKENS: [(&str, TokenRequirement); 2] =
    [("optional", TokenRequirement::Optional), ("required", TokenRequirement::Required)];
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
