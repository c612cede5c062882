//! Reads the current context of a kubeconfig (kubernetes.io, "Organizing Cluster Access Using kubeconfig Files").
//! Fields that would run a program, or would change the server or the user unnoticed, are rejected by name.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use serde_json::{Map, Value};
use yaml_rust2::scanner::Marker;
use zeroize::Zeroizing;

use super::connection::{ApiServerConnection, Auth, Verification, server, tls_options};
use crate::clients::http::{Authorities, ClientCertificate, Misconfigured, Pem, Roots, TlsOptions};
use crate::logic::base::secret::Secret;
use crate::logic::base::yaml;

/// Reads a kubeconfig's text. Paths in it are relative to the directory of `path`.
pub(super) fn connection(
    text: &[u8],
    path: &Path,
    verification: Verification,
) -> Result<ApiServerConnection, Misconfigured> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut file = parse(text)?;
    let wanted = required(file.text("current-context")?, "it has no `current-context`")?;
    let mut context = file.named("contexts", "context", &wanted)?;
    let cluster_name = required(context.text("cluster")?, &format!("context `{wanted}` has no `cluster`"))?;
    let cluster = Cluster::read(file.named("clusters", "cluster", &cluster_name)?)?;
    cluster.refuse_unsupported(&cluster_name)?;
    let user = match context.text("user")?.filter(|user| !user.is_empty()) {
        Some(name) => {
            let user = User::read(file.named("users", "user", &name)?)?;
            user.refuse_unsupported(&name)?;
            user
        }
        None => User::default(),
    };
    let tls = TlsOptions {
        client_certificate: user.client_certificate(directory)?,
        server_name: cluster.server_name()?,
        ..tls_options(cluster.roots(directory, verification)?, cluster.advice(path))
    };
    let url = required(cluster.server, &format!("cluster `{cluster_name}` has no `server`"))?;
    let url = if url.contains("://") { url } else { format!("https://{url}") };
    Ok(ApiServerConnection { server: server(&url)?, auth: user.auth(directory), tls })
}

/// The parser's messages quote the file, which may hold tokens; the error gives only the position.
fn parse(text: &[u8]) -> Result<YamlMapping, Misconfigured> {
    let text = std::str::from_utf8(text).map_err(|_| Misconfigured("it is not UTF-8".to_owned()))?;
    YamlMapping::of(yaml::read(text).map_err(broken)?)
}

fn malformed() -> Misconfigured {
    Misconfigured("it is not a kubeconfig in YAML".to_owned())
}

fn broken(at: Marker) -> Misconfigured {
    Misconfigured(format!("it is not a kubeconfig in YAML at line {}, column {}", at.line(), at.col() + 1))
}

/// A mapping whose fields are taken out by name.
struct YamlMapping(Map<String, Value>);

impl YamlMapping {
    fn of(node: Value) -> Result<Self, Misconfigured> {
        match node {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(malformed()),
        }
    }

    /// Takes a field; `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.get_mut(name).map(Value::take).filter(|node| !node.is_null())
    }

    /// Takes a text field; all fields used are text, except one flag.
    fn text(&mut self, name: &str) -> Result<Option<String>, Misconfigured> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(malformed()),
        }
    }

    fn secret(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, Misconfigured> {
        Ok(self.text(name)?.map(Zeroizing::new))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Misconfigured> {
        self.take(name).map(|node| node.as_bool().ok_or_else(malformed)).transpose()
    }

    /// The `kind` field of the entry called `name` in one of the three lists.
    fn named(&mut self, list: &str, kind: &str, name: &str) -> Result<Self, Misconfigured> {
        let entries = match self.take(list) {
            None => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(malformed()),
        };
        for entry in entries {
            let mut entry = Self::of(entry)?;
            if entry.text("name")?.as_deref() == Some(name) {
                return Self::of(entry.take(kind).unwrap_or(Value::Null));
            }
        }
        Err(Misconfigured(format!("{kind} `{name}` is not in `{kind}s`")))
    }
}

struct Cluster {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default)]
struct User {
    token: Option<Zeroizing<String>>,
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<Zeroizing<String>>,
    /// Names of fields that are set but not supported
    unsupported: Vec<&'static str>,
}

impl Cluster {
    fn read(mut fields: YamlMapping) -> Result<Self, Misconfigured> {
        Ok(Self {
            server: fields.text("server")?,
            certificate_authority: fields.text("certificate-authority")?,
            certificate_authority_data: fields.text("certificate-authority-data")?,
            insecure_skip_tls_verify: fields.flag("insecure-skip-tls-verify")?,
            tls_server_name: fields.text("tls-server-name")?,
            proxy_url: fields.text("proxy-url")?,
        })
    }

    fn refuse_unsupported(&self, name: &str) -> Result<(), Misconfigured> {
        let set = self.proxy_url.as_ref().filter(|url| !url.is_empty()).map(|_| "proxy-url");
        refuse(&format!("cluster `{name}`"), set)
    }

    fn roots(&self, directory: &Path, verification: Verification) -> Result<Roots, Misconfigured> {
        if verification == Verification::Skipped || self.insecure_skip_tls_verify == Some(true) {
            return Ok(Roots::Unverified);
        }
        let file = self.certificate_authority.as_deref();
        let data = self.certificate_authority_data.as_deref();
        match pem(data, file, "certificate-authority", directory)? {
            None => Ok(Roots::BuiltIn),
            Some(Pem::Text(text)) => Authorities::new(Pem::Text(text))
                .map(Roots::Only)
                .map_err(|cause| Misconfigured(format!("unusable `certificate-authority-data`: {}", cause.0))),
            Some(file) => Authorities::new(file).map(Roots::Only),
        }
    }

    /// What to do about a server certificate signed by an unknown authority.
    fn advice(&self, path: &Path) -> String {
        let is_set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
        let (verb, field) = match (&self.certificate_authority_data, &self.certificate_authority) {
            (data, _) if is_set(data) => ("check", "certificate-authority-data"),
            (_, file) if is_set(file) => ("check", "certificate-authority"),
            _ => ("set", "certificate-authority"),
        };
        format!("{verb} {field} in `{}`", path.display())
    }

    fn server_name(&self) -> Result<Option<ServerName<'static>>, Misconfigured> {
        let name = self.tls_server_name.clone().filter(|name| !name.is_empty());
        let parsed = name.map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| Misconfigured(format!("`tls-server-name` is neither a name nor an address: `{name}`")))
        });
        parsed.transpose()
    }
}

impl User {
    fn read(mut fields: YamlMapping) -> Result<Self, Misconfigured> {
        Ok(Self {
            token: fields.secret("token")?,
            token_file: fields.text("tokenFile")?,
            client_certificate: fields.text("client-certificate")?,
            client_certificate_data: fields.text("client-certificate-data")?,
            client_key: fields.text("client-key")?,
            client_key_data: fields.secret("client-key-data")?,
            unsupported: UNSUPPORTED.into_iter().filter(|name| fields.take(name).is_some()).collect(),
        })
    }

    fn refuse_unsupported(&self, name: &str) -> Result<(), Misconfigured> {
        refuse(&format!("user `{name}`"), self.unsupported.first().copied())
    }

    /// A token file takes precedence over a token, as in client-go.
    fn auth(self, directory: &Path) -> Auth {
        let file = self.token_file.filter(|file| !file.is_empty());
        let token = self.token.filter(|token| !token.is_empty());
        match (file, token) {
            (Some(file), _) => Auth::TokenFile(directory.join(file)),
            (None, Some(token)) => Auth::Token(Secret::new(token.trim().to_owned())),
            (None, None) => Auth::None,
        }
    }

    fn client_certificate(&self, directory: &Path) -> Result<Option<ClientCertificate>, Misconfigured> {
        let chain_data = self.client_certificate_data.as_deref();
        let chain = pem(chain_data, self.client_certificate.as_deref(), "client-certificate", directory)?;
        let key_data = self.client_key_data.as_ref().map(|data| data.as_str());
        let key = pem(key_data, self.client_key.as_deref(), "client-key", directory)?;
        match (chain, key) {
            (Some(chain), Some(key)) => ClientCertificate::new(chain, key).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Misconfigured("`client-certificate` is set without `client-key`".to_owned())),
            (None, Some(_)) => Err(Misconfigured("`client-key` is set without `client-certificate`".to_owned())),
        }
    }
}

/// PEM from inline base64 data, or from a separate file; inline data takes precedence, as in client-go.
fn pem(data: Option<&str>, file: Option<&str>, field: &str, directory: &Path) -> Result<Option<Pem>, Misconfigured> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let data: Zeroizing<String> = Zeroizing::new(data.split_ascii_whitespace().collect());
        let decoded = STANDARD.decode(data.as_bytes());
        return decoded
            .map(|pem| Some(Pem::Text(Zeroizing::new(pem))))
            .map_err(|_| Misconfigured(format!("`{field}-data` is not base64")));
    }
    Ok(file.filter(|file| !file.is_empty()).map(|file| Pem::File(directory.join(file))))
}

fn refuse(of: &str, set: Option<&str>) -> Result<(), Misconfigured> {
    match set {
        Some(field) => Err(Misconfigured(format!("{of} sets `{field}`, which is not supported"))),
        None => Ok(()),
    }
}

fn required(value: Option<String>, missing: &str) -> Result<String, Misconfigured> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| Misconfigured(missing.to_owned()))
}

/// User fields that would run a program or authenticate in another way.
const UNSUPPORTED: [&str; 4] = ["exec", "auth-provider", "username", "as"];

#[cfg(test)]
mod tests;
