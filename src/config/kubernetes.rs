//! How the API server is reached and what is watched there.

use std::path::PathBuf;
use std::time::Duration;

use super::EnvironmentLookup;
use super::duration::{duration, ignored_duration};
use super::flags::{KubernetesFlags, RoleFlags, SessionFlags};
use super::given::{Given, unless_empty};
use super::usage::UsageError;
use super::values::{http_url, is_key};
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
    /// What is older, while the API server refuses, gives no credentials; `None`: no age is too old.
    pub longest_age: Option<Duration>,
}

/// Where the API server is and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Kubeconfig(PathBuf),
    ApiServer {
        /// `http://` or `https://`, without a slash at the end
        url: String,
        token: Secret<String>,
    },
    /// Nothing names one; what to say of that
    Unknown(UsageError),
    /// By the service account's mounted token and CA
    InCluster {
        /// A name or an address, without brackets
        host: String,
        port: u16,
    },
}

impl KubernetesConfig {
    pub(super) fn read(
        flags: &KubernetesFlags,
        keys: AnnotationKeys,
        lookup: EnvironmentLookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        ignored_duration(&flags.cache_resync_period)?;
        let node = unless_empty(flags.node.as_ref()).map(|given| given.read(A_NODE, node_name)).transpose()?;
        let access = Access::read(flags, lookup, warnings)?;
        let in_cluster = matches!(access, Access::InCluster { .. });
        if flags.insecure && in_cluster {
            warnings.push("--insecure has no effect without --kubeconfig or --api-server".to_owned());
        }
        let longest_age = Some(duration(&flags.max_world_age)?).filter(|longest| !longest.is_zero());
        Ok(Self { access, insecure: flags.insecure && !in_cluster, node, keys, longest_age })
    }
}

impl Access {
    fn read(
        flags: &KubernetesFlags,
        lookup: EnvironmentLookup<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let server = unless_empty(flags.api_server.as_ref());
        let token = unless_empty(flags.api_token.as_ref());
        if let Some(path) = unless_empty(flags.kubeconfig.as_ref()) {
            if server.is_some() || token.is_some() {
                warnings.push("--kubeconfig wins over --api-server and --api-token".to_owned());
            }
            return Ok(Self::Kubeconfig(path.as_str().into()));
        }
        // A server without a scheme is spoken to as client-go does: TLS only if something was said about TLS.
        let assumed = if flags.insecure { "https://" } else { "http://" };
        match (server, token) {
            (Some(server), Some(token)) => {
                let url = server_url(server, assumed)?;
                if url.starts_with("http://") {
                    warnings.push("--api-server without TLS: the token travels in the clear".to_owned());
                }
                Ok(Self::ApiServer { url, token: Secret::new(token.as_str().to_owned()) })
            }
            (Some(server), None) => {
                server_url(server, assumed)?;
                Self::without(("--api-server", "--api-token"), lookup, warnings)
            }
            (None, Some(_)) => Self::without(("--api-token", "--api-server"), lookup, warnings),
            (None, None) => Self::in_cluster(lookup, None),
        }
    }

    /// One of two flags that only count together was given alone.
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
            return Err(UsageError::value(PORT, &port, "a port from 1 to 65535"));
        };
        if !is_host(&host) && host.parse::<std::net::IpAddr>().is_err() {
            return Err(UsageError::value(HOST, &host, "a name or an IP address"));
        }
        Ok(Self::InCluster { host, port: number })
    }
}

/// Which annotations are read; their flags stand in different groups.
pub(super) fn annotation_keys(roles: &RoleFlags, sessions: &SessionFlags) -> Result<AnnotationKeys, UsageError> {
    let key =
        |given: &Given| given.read("an annotation's key: [PREFIX/]NAME", |text| is_key(text).then(|| text.to_owned()));
    Ok(AnnotationKeys {
        role: key(&roles.iam_role_key)?,
        external_id: key(&sessions.iam_external_id)?,
        allowed_roles: key(&roles.namespace_key)?,
    })
}

/// A server, with the `assumed` scheme if it has none.
fn server_url(given: &Given, assumed: &str) -> Result<String, UsageError> {
    given.read("http://HOST[:PORT] or https://HOST[:PORT]", |text| {
        let url = if text.contains("://") { text.to_owned() } else { format!("{assumed}{text}") };
        http_url(&url)
    })
}

/// A node's name is a DNS subdomain in small letters (RFC 1123).
fn node_name(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    ((1..=253).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

const A_NODE: &str =
    "a node's name in small letters, digits, dots and dashes; in a manifest `$(NODE_NAME)` needs an `env` entry";
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
