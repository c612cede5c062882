//! The environment variables of the AWS SDKs, and their meaning for the agent. An empty variable counts as unset, as
//! in the SDKs.

use std::fmt;

use super::endpoints::StsEndpoints;
use crate::logic::base::proxy::ProxyEnvironment;
use crate::logic::base::secret::Secret;
use crate::logic::base::url::{Scheme, ServiceUrl};
use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::credentials::Credentials;

/// The values of all supported variables.
#[derive(Clone, Debug, Default)]
pub struct AwsEnvironment {
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret<String>>,
    pub session_token: Option<Secret<String>>,
    pub web_identity_token_file: Option<String>,
    pub role_arn: Option<String>,
    pub role_session_name: Option<String>,
    pub container_relative_uri: Option<String>,
    pub container_full_uri: Option<String>,
    pub container_token: Option<Secret<String>>,
    pub container_token_file: Option<String>,
    pub endpoint_url_sts: Option<String>,
    pub endpoint_url: Option<String>,
    pub use_fips_endpoint: Option<String>,
    pub use_dualstack_endpoint: Option<String>,
    pub sts_regional_endpoints: Option<String>,
    /// `AWS_CA_BUNDLE`, else `SSL_CERT_FILE`
    pub ca_bundle: Option<String>,
    pub proxy: ProxyEnvironment,
}

impl AwsEnvironment {
    /// Reads each variable by name through `lookup`.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| lookup(name).filter(|value| !value.is_empty()));
        let one = |name: &str| first(&[name]);
        let secret = |name: &str| one(name).map(Secret::new);
        Self {
            region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            access_key_id: one("AWS_ACCESS_KEY_ID"),
            secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
            session_token: secret("AWS_SESSION_TOKEN"),
            web_identity_token_file: one("AWS_WEB_IDENTITY_TOKEN_FILE"),
            role_arn: one("AWS_ROLE_ARN"),
            role_session_name: one("AWS_ROLE_SESSION_NAME"),
            container_relative_uri: one("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            container_full_uri: one("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            container_token: secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            container_token_file: one("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            endpoint_url_sts: one("AWS_ENDPOINT_URL_STS"),
            endpoint_url: one("AWS_ENDPOINT_URL"),
            use_fips_endpoint: one("AWS_USE_FIPS_ENDPOINT"),
            use_dualstack_endpoint: one("AWS_USE_DUALSTACK_ENDPOINT"),
            sts_regional_endpoints: one("AWS_STS_REGIONAL_ENDPOINTS"),
            ca_bundle: first(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"]),
            // Upper case first, as Go programs do.
            proxy: ProxyEnvironment {
                https_proxy: first(&["HTTPS_PROXY", "https_proxy"]).map(Secret::new),
                http_proxy: first(&["HTTP_PROXY", "http_proxy"]).map(Secret::new),
                no_proxy: first(&["NO_PROXY", "no_proxy"]),
            },
        }
    }

    /// The endpoint settings in the variables.
    pub fn endpoints(&self) -> Result<StsEndpoints, EnvironmentError> {
        let url = |name, value: &Option<String>| value.as_deref().map(|text| service(name, text)).transpose();
        let regional = ("AWS_STS_REGIONAL_ENDPOINTS", &self.sts_regional_endpoints);
        Ok(StsEndpoints {
            region: self.region.clone(),
            fips: choice("AWS_USE_FIPS_ENDPOINT", &self.use_fips_endpoint, ["false", "true"])?,
            dual_stack: choice("AWS_USE_DUALSTACK_ENDPOINT", &self.use_dualstack_endpoint, ["false", "true"])?,
            legacy_global: choice(regional.0, regional.1, ["regional", "legacy"])?,
            override_sts: url("AWS_ENDPOINT_URL_STS", &self.endpoint_url_sts)?,
            override_all: url("AWS_ENDPOINT_URL", &self.endpoint_url)?,
        })
    }

    /// The first source of the node's own credentials whose variables are set; the instance role if none is. A
    /// half-configured source is an error: falling back to the next one would use another identity than intended.
    pub fn node_source(&self) -> Result<NodeSource, EnvironmentError> {
        if self.access_key_id.is_some() || self.secret_access_key.is_some() {
            return self.static_keys().map(NodeSource::Environment);
        }
        if let Some(token_file) = &self.web_identity_token_file {
            return self.web_identity(token_file).map(NodeSource::WebIdentity);
        }
        if self.container_relative_uri.is_some() || self.container_full_uri.is_some() {
            return self.container().map(NodeSource::Container);
        }
        Ok(NodeSource::InstanceRole)
    }

    fn static_keys(&self) -> Result<Credentials, EnvironmentError> {
        let lacking = |name| EnvironmentError { name, cause: "it is not set, but its other half is".to_owned() };
        let access_key_id = self.access_key_id.clone().ok_or_else(|| lacking("AWS_ACCESS_KEY_ID"))?;
        let secret_access_key = self.secret_access_key.clone().ok_or_else(|| lacking("AWS_SECRET_ACCESS_KEY"))?;
        Ok(Credentials {
            access_key_id,
            secret_access_key,
            session_token: self.session_token.clone(),
            expiration: None,
        })
    }

    fn web_identity(&self, token_file: &str) -> Result<WebIdentity, EnvironmentError> {
        let wrong = |cause: String| EnvironmentError { name: "AWS_ROLE_ARN", cause };
        let role = self.role_arn.as_deref();
        let role = role.ok_or_else(|| wrong("it is not set, but AWS_WEB_IDENTITY_TOKEN_FILE is".to_owned()))?;
        Ok(WebIdentity {
            role: RoleArn::parse(role).map_err(|error| wrong(error.to_string()))?,
            session_name: self.role_session_name.clone().unwrap_or_else(|| "kube2iam".to_owned()),
            token_file: token_file.to_owned(),
        })
    }

    fn container(&self) -> Result<Container, EnvironmentError> {
        let url = match (&self.container_relative_uri, &self.container_full_uri) {
            (Some(path), _) => {
                let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
                if !path.starts_with('/') {
                    return Err(EnvironmentError { name, cause: "it must begin with `/`".to_owned() });
                }
                service(name, &format!("http://{CONTAINER_HOST}{path}"))?
            }
            (None, full) => {
                let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
                let url = service(name, full.as_deref().unwrap_or_default())?;
                if !may_hold_credentials(&url) {
                    let cause = format!("`{url}` is neither https nor one of the hosts that plain http may name");
                    return Err(EnvironmentError { name, cause });
                }
                url
            }
        };
        let token = match (&self.container_token_file, &self.container_token) {
            (Some(file), _) => ContainerToken::File(file.clone()),
            (None, Some(token)) => ContainerToken::Value(token.clone()),
            (None, None) => ContainerToken::Absent,
        };
        Ok(Container { url, token })
    }
}

/// The source of the node's own credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSource {
    Environment(Credentials),
    WebIdentity(WebIdentity),
    Container(Container),
    InstanceRole,
}

/// A token file that STS accepts for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    pub role: RoleArn,
    pub session_name: String,
    /// The kubelet replaces the token periodically
    pub token_file: String,
}

/// A local endpoint that serves credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub url: ServiceUrl,
    pub token: ContainerToken,
}

/// The endpoint's `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerToken {
    Absent,
    Value(Secret<String>),
    /// Read again for each request
    File(String),
}

/// A variable with an unusable value, and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentError {
    pub name: &'static str,
    pub cause: String,
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to use `{}`: {}", self.name, self.cause)
    }
}

/// The hosts that SDKs allow for fetching credentials without TLS.
fn may_hold_credentials(url: &ServiceUrl) -> bool {
    let host = url.host();
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == Scheme::Https || loopback || host.eq_ignore_ascii_case("localhost") || PLAIN_HOSTS.contains(&host)
}

fn service(name: &'static str, text: &str) -> Result<ServiceUrl, EnvironmentError> {
    ServiceUrl::parse(text).map_err(|error| EnvironmentError { name, cause: error.to_string() })
}

/// Whether a variable has the second of two values; unset means the first.
fn choice(name: &'static str, value: &Option<String>, words: [&str; 2]) -> Result<bool, EnvironmentError> {
    let value = value.as_deref().unwrap_or(words[0]);
    words.iter().position(|word| word.eq_ignore_ascii_case(value)).map(|place| place == 1).ok_or_else(|| {
        let found = value.chars().take(SHOWN).collect::<String>();
        EnvironmentError { name, cause: format!("`{}` is not `{}` or `{}`", found.escape_debug(), words[0], words[1]) }
    })
}

/// The ECS agent.
const CONTAINER_HOST: &str = "169.254.170.2";
/// The ECS and EKS agents, IPv4 and IPv6.
const PLAIN_HOSTS: [&str; 3] = [CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23"];
/// How many characters of an invalid value an error repeats.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests;
