//! How to reach the API server, and what to watch.

use std::path::PathBuf;
use std::time::Duration;

use super::EnvironmentLookup;
use super::flags::{KubernetesFlags, RoleFlags, SessionFlags};
use super::usage::UsageError;
use super::values::{A_PORT, http_url, or_allowed};
use crate::logic::base::secret::Secret;
use crate::logic::base::url::{is_host, port_number};
use crate::logic::cluster::kubernetes::AnnotationKeys;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    pub access: Access,
    /// Certificates aren't verified; never set with [`Access::InCluster`]
    pub insecure: bool,
    /// Only this node's pods are watched; `None`: all of the cluster
    pub node: Option<String>,
    pub keys: AnnotationKeys,
    /// While the API server refuses requests, a World older than this gives no credentials; `None`: no limit
    pub longest_age: Option<Duration>,
}

/// The API server's address and the agent's credentials there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Kubeconfig(PathBuf),
    ApiServer {
        /// `http://` or `https://`, without a slash at the end
        url: String,
        token: Secret<String>,
    },
    /// Neither flags nor environment name an API server; the error to report
    Unknown(UsageError),
    /// With the service account's mounted token and CA
    InCluster {
        /// A name or an address, without brackets
        host: String,
        port: u16,
    },
}

impl KubernetesConfig {
    pub(super) fn read(
        flags: KubernetesFlags,
        keys: AnnotationKeys,
        lookup: EnvironmentLookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let (insecure, node, max_world_age) = (flags.insecure, flags.node.clone(), flags.max_world_age);
        let access = Access::read(flags, lookup, warnings)?;
        let in_cluster = matches!(access, Access::InCluster { .. });
        if insecure && in_cluster {
            warnings.push("--insecure has no effect without --kubeconfig or --api-server".to_owned());
        }
        let longest_age = Some(max_world_age).filter(|longest| !longest.is_zero());
        Ok(Self { access, insecure: insecure && !in_cluster, node, keys, longest_age })
    }
}

impl Access {
    fn read(
        flags: KubernetesFlags,
        lookup: EnvironmentLookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let (server, token) = (flags.api_server, flags.api_token);
        if let Some(path) = flags.kubeconfig {
            if server.is_some() || token.is_some() {
                warnings.push("--kubeconfig takes precedence: --api-server and --api-token have no effect".to_owned());
            }
            return Ok(Self::Kubeconfig(path));
        }
        match (server, token) {
            (Some(server), Some(token)) => {
                // As in client-go, a server without a scheme is reached by TLS only if an option about TLS is set.
                let url = if flags.insecure { server.or_https } else { server.or_http };
                if url.starts_with("http://") {
                    warnings.push("--api-server without TLS: the token is sent unencrypted".to_owned());
                }
                Ok(Self::ApiServer { url, token })
            }
            (Some(_), None) => Self::without(("--api-server", "--api-token"), lookup, warnings),
            (None, Some(_)) => Self::without(("--api-token", "--api-server"), lookup, warnings),
            (None, None) => Self::in_cluster(lookup, None),
        }
    }

    /// One of two flags that need each other was given alone.
    fn without(
        lone: (&str, &str),
        lookup: EnvironmentLookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let access = Self::in_cluster(lookup, Some(lone))?;
        if matches!(access, Self::InCluster { .. }) {
            let (given, missing) = lone;
            warnings.push(format!("{given} without {missing} has no effect: the pod's own service account is used"));
        }
        Ok(access)
    }

    fn in_cluster(lookup: EnvironmentLookup<'_>, lone: Option<(&str, &str)>) -> Result<Self, UsageError> {
        let (Some(host), Some(port)) = (lookup(HOST), lookup(PORT)) else {
            return Ok(Self::Unknown(UsageError::no_api_server(lone)));
        };
        let Some(number) = port_number(&port) else {
            return Err(UsageError::value(PORT, &port, A_PORT));
        };
        if !is_host(&host) && host.parse::<std::net::IpAddr>().is_err() {
            return Err(UsageError::value(HOST, &host, "a name or an IP address"));
        }
        Ok(Self::InCluster { host, port: number })
    }
}

/// The annotations to read; their flags are in different groups.
pub(super) fn annotation_keys(roles: &RoleFlags, sessions: &SessionFlags) -> AnnotationKeys {
    AnnotationKeys {
        role: roles.iam_role_key.clone(),
        external_id: sessions.iam_external_id.clone(),
        allowed_roles: roles.namespace_key.clone(),
    }
}

/// The API server's URL; if the scheme was omitted, one URL for each scheme.
pub(super) struct ServerAddress {
    or_http: String,
    or_https: String,
}

pub(super) fn server(text: &str) -> Result<ServerAddress, String> {
    let url = |assumed: &str| if text.contains("://") { http_url(text) } else { http_url(&format!("{assumed}{text}")) };
    let urls = url("http://").zip(url("https://"));
    let address = urls.map(|(or_http, or_https)| ServerAddress { or_http, or_https });
    or_allowed(address, "http://HOST[:PORT] or https://HOST[:PORT]")
}

/// Never fails, so that no error message repeats a token.
pub(super) fn token(text: &str) -> Result<Secret<String>, String> {
    Ok(Secret::new(text.to_owned()))
}

/// A node's name is a lower-case DNS subdomain (RFC 1123).
pub(super) fn node_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(plain);
    or_allowed(is_name.then(|| text.to_owned()), A_NODE)
}

const A_NODE: &str =
    "a node's name in small letters, digits, dots and dashes; in a manifest `$(NODE_NAME)` needs an `env` entry";
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
