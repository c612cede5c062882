//! The API server's address and the agent's authentication: in-cluster, by flags, or by a kubeconfig. An unusable value
//! is an error of one line that names it.

use std::path::{Path, PathBuf};

use super::kubeconfig;
use super::token::read_token;
use crate::clients::http::{Authorities, Misconfigured, Roots, TlsOptions, target_of};
use crate::logic::base::secret::Secret;
use crate::os::files::read_bytes;

/// A server and how to authenticate to it.
#[derive(Clone, Debug)]
pub struct ApiServerConnection {
    /// `https://HOST:PORT`, optionally with a path, without a trailing slash.
    pub server: String,
    pub auth: Auth,
    pub tls: TlsOptions,
}

/// The authentication of each request.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Read again as the file changes.
    TokenFile(PathBuf),
    Token(Secret<String>),
    /// None: a client certificate authenticates, or the server doesn't require authentication.
    None,
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    Required,
    /// `--insecure`
    Skipped,
}

impl ApiServerConnection {
    /// From inside a pod: `KUBERNETES_SERVICE_HOST` and `_PORT`, and the files of its service account. Verification
    /// can't be skipped here.
    pub fn in_cluster(host: &str, port: &str, token: &Path, ca: &Path) -> Result<Self, Misconfigured> {
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let server = server(&format!("https://{host}:{port}"))?;
        read_token(token).map_err(|error| Misconfigured(format!("failed to read `{}`: {error}", token.display())))?;
        let roots = Roots::Only(Authorities::new(ca.into())?);
        let tls = tls_options(roots, format!("check `{}`", ca.display()));
        Ok(Self { server, auth: Auth::TokenFile(token.to_owned()), tls })
    }

    /// By `--api-server` and `--api-token`.
    pub fn api_server(
        url: &str,
        token: Option<Secret<String>>,
        verification: Verification,
    ) -> Result<Self, Misconfigured> {
        let roots = match verification {
            Verification::Required => Roots::BuiltIn,
            Verification::Skipped => Roots::Unverified,
        };
        let auth = token.map_or(Auth::None, Auth::Token);
        let tls = tls_options(roots, "name it in a kubeconfig (certificate-authority)".to_owned());
        Ok(Self { server: server(url)?, auth, tls })
    }

    /// By `--kubeconfig`: the current context of the file. Paths in it are relative to its directory.
    pub fn kubeconfig(path: &Path, verification: Verification) -> Result<Self, Misconfigured> {
        let text = read_bytes(path).map_err(Misconfigured)?;
        Self::kubeconfig_text(&text, path, verification)
            .map_err(|cause| Misconfigured(format!("failed to use kubeconfig `{}`: {cause}", path.display())))
    }

    /// From the text of the kubeconfig at `path`.
    pub fn kubeconfig_text(text: &[u8], path: &Path, verification: Verification) -> Result<Self, Misconfigured> {
        kubeconfig::connection(text, path, verification)
    }
}

/// The base URL of requests.
pub(super) fn server(url: &str) -> Result<String, Misconfigured> {
    if url.contains(['?', '#', '@']) {
        let shown = url.rsplit('@').next().unwrap_or_default();
        return Err(Misconfigured(format!("unusable URL `{shown}`: it has a user, a query or a fragment")));
    }
    target_of(url)?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// TLS options for the API server; `advice` is for a certificate of an unknown authority.
pub(super) fn tls_options(roots: Roots, advice: String) -> TlsOptions {
    TlsOptions { advice, roots, ..TlsOptions::public("the API server") }
}

/// The kubelet mounts these into every pod.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
pub const SERVICE_ACCOUNT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
