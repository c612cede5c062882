//! Where the API server is and how we prove who we are: in the cluster, by flags, or by a kubeconfig. Every value that
//! can't be used ends in one line that names it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::kubeconfig;
use super::token::read_token;
use crate::edge::agent::{Authorities, ClientCertificate, Misconfigured, Roots, target_of};
use crate::logic::secret::Secret;

/// A server and what it takes to be let in.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `https://HOST:PORT`, perhaps with a path, without a slash at its end.
    pub server: String,
    pub auth: Auth,
    pub roots: Roots,
    pub client_certificate: Option<ClientCertificate>,
}

/// What every request carries.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Read again and again.
    TokenFile(PathBuf),
    Token(Secret<String>),
    /// Nothing: the client certificate says it all, or nobody asks.
    None,
}

/// Whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    Required,
    /// `--insecure`
    Skipped,
}

impl Connection {
    /// From inside a pod: `KUBERNETES_SERVICE_HOST` and `_PORT`, and the files of its service account.
    /// There is no way to skip verification here.
    pub fn in_cluster(host: &str, port: &str, token: &Path, ca: &Path) -> Result<Self, Misconfigured> {
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let server = server(&format!("https://{host}:{port}"))?;
        read_token(token).map_err(|error| unreadable(token, &error))?;
        let roots = Roots::Only(authorities(&read(ca)?, ca)?);
        Ok(Self { server, auth: Auth::TokenFile(token.to_owned()), roots, client_certificate: None })
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
        Ok(Self { server: server(url)?, auth, roots, client_certificate: None })
    }

    /// By `--kubeconfig`: the current context of the file. Paths in it are relative to its directory.
    pub fn kubeconfig(path: &Path, verification: Verification) -> Result<Self, Misconfigured> {
        let text = read(path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::kubeconfig_text(&text, directory, verification)
            .map_err(|cause| Misconfigured(format!("failed to use kubeconfig `{}`: {cause}", path.display())))
    }

    /// By the text of a kubeconfig in which paths are relative to `directory`.
    #[doc(hidden)]
    pub fn kubeconfig_text(text: &[u8], directory: &Path, verification: Verification) -> Result<Self, Misconfigured> {
        kubeconfig::connection(text, directory, verification)
    }
}

/// A URL as requests are built on.
pub(super) fn server(url: &str) -> Result<String, Misconfigured> {
    target_of(url)?;
    if url.contains(['?', '#', '@']) {
        let shown = url.rsplit('@').next().unwrap_or_default();
        return Err(Misconfigured(format!("unusable URL `{shown}`: it has a user, a query or a fragment")));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Reads a small file whole.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Misconfigured> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

pub(super) fn authorities(pem: &[u8], path: &Path) -> Result<Authorities, Misconfigured> {
    Authorities::from_pem(pem).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, cause: &dyn fmt::Display) -> Misconfigured {
    Misconfigured(format!("failed to read `{}`: {cause}", path.display()))
}

/// Kubelet mounts these into every pod.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
pub const SERVICE_ACCOUNT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// Bundles of authorities are the largest of the files, below 1 MiB.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
