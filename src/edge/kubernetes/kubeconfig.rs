//! A kubeconfig, reduced to its current context (kubernetes.io, "Organizing Cluster Access Using kubeconfig Files").
//! What would need a program to run, or would quietly change who is asked, is refused by its name.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::Marker;
use yaml_rust2::{Yaml, YamlLoader};
use zeroize::Zeroizing;

use super::connection::{Auth, Connection, Verification, authorities, read, server};
use crate::edge::agent::{ClientCertificate, Misconfigured, Roots};
use crate::logic::secret::Secret;

/// Reads the text of a kubeconfig whose relative paths start at `directory`.
pub(super) fn connection(
    text: &[u8],
    directory: &Path,
    verification: Verification,
) -> Result<Connection, Misconfigured> {
    let file = parse(text)?;
    let wanted = required(file.current_context, "it has no `current-context`")?;
    let context = named(file.contexts, &wanted, "context")?;
    let cluster_name = required(context.cluster, &format!("context `{wanted}` has no `cluster`"))?;
    let cluster = named(file.clusters, &cluster_name, "cluster")?;
    cluster.refuse_unsupported(&cluster_name)?;
    let user = match context.user.filter(|user| !user.is_empty()) {
        Some(name) => {
            let user = named(file.users, &name, "user")?;
            user.refuse_unsupported(&name)?;
            user
        }
        None => UserJson::default(),
    };
    Ok(Connection {
        roots: cluster.roots(directory, verification)?,
        server: server(&required(cluster.server, &format!("cluster `{cluster_name}` has no `server`"))?)?,
        client_certificate: user.client_certificate(directory)?,
        auth: user.auth(directory),
    })
}

/// The parser's own messages quote the file, and with it tokens: only the place is told.
fn parse(text: &[u8]) -> Result<FileJson, Misconfigured> {
    let text = std::str::from_utf8(text).map_err(|_| Misconfigured("it is not UTF-8".to_owned()))?;
    weigh(text)?;
    let documents = YamlLoader::load_from_str(text).map_err(|error| broken(*error.marker()))?;
    let file = documents.into_iter().next().map_or(Value::Null, json);
    serde_json::from_value(file).map_err(|_| Misconfigured("it is not a kubeconfig in YAML".to_owned()))
}

fn broken(at: Marker) -> Misconfigured {
    Misconfigured(format!("it is not a kubeconfig in YAML at line {}, column {}", at.line(), at.col() + 1))
}

/// Refuses what the loader can't bear: it calls itself for each level of nesting and copies what an alias stands for.
fn weigh(text: &str) -> Result<(), Misconfigured> {
    let mut parser = Parser::new_from_str(text);
    let mut weights = HashMap::new();
    // Anchor and weight of each node that is open; first, what holds the documents.
    let mut open = vec![(0, 0_usize)];
    loop {
        let (event, at) = parser.next_token().map_err(|error| broken(*error.marker()))?;
        let (anchor, weight) = match event {
            Event::StreamEnd => return Ok(()),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if open.len() <= DEEPEST => {
                open.push((anchor, NODE_BYTES));
                continue;
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => return Err(broken(at)),
            Event::SequenceEnd | Event::MappingEnd => open.pop().unwrap_or_default(),
            Event::Scalar(text, _, anchor, _) => (anchor, text.len() + NODE_BYTES),
            Event::Alias(anchor) => (0, weights.get(&anchor).copied().unwrap_or(NODE_BYTES)),
            _ => continue,
        };
        weights.insert(anchor, weight);
        let Some((_, sum)) = open.last_mut() else { return Err(broken(at)) };
        *sum = sum.saturating_add(weight);
        if *sum > HEAVIEST {
            return Err(broken(at));
        }
    }
}

/// YAML as JSON. Everything that is read of a kubeconfig is text but for one flag, so numbers are texts too.
fn json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Real(text) | Yaml::String(text) => Value::String(text),
        Yaml::Integer(number) => Value::String(number.to_string()),
        Yaml::Boolean(flag) => Value::Bool(flag),
        Yaml::Array(items) => items.into_iter().map(json).collect(),
        Yaml::Hash(fields) => {
            let field = |(name, value): (Yaml, Yaml)| Some((json(name).as_str()?.to_owned(), json(value)));
            Value::Object(fields.into_iter().filter_map(field).collect())
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FileJson {
    current_context: Option<String>,
    contexts: Option<Vec<Entry<ContextJson>>>,
    clusters: Option<Vec<Entry<ClusterJson>>>,
    users: Option<Vec<Entry<UserJson>>>,
}

/// An entry of one of the three lists.
#[derive(Deserialize)]
struct Entry<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    body: T,
}

#[derive(Deserialize)]
struct ContextJson {
    cluster: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterJson {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserJson {
    token: Option<Zeroizing<String>>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<Zeroizing<String>>,
    username: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    r#as: Option<IgnoredAny>,
}

impl ClusterJson {
    fn refuse_unsupported(&self, name: &str) -> Result<(), Misconfigured> {
        let tls_server_name = self.tls_server_name.as_deref().filter(|name| !name.is_empty());
        let proxy_url = self.proxy_url.as_deref().filter(|url| !url.is_empty());
        let set = [tls_server_name.map(|_| "tls-server-name"), proxy_url.map(|_| "proxy-url")];
        refuse(&format!("cluster `{name}`"), &set)
    }

    fn roots(&self, directory: &Path, verification: Verification) -> Result<Roots, Misconfigured> {
        if verification == Verification::Skipped || self.insecure_skip_tls_verify == Some(true) {
            return Ok(Roots::Unverified);
        }
        let file = self.certificate_authority.as_deref();
        let data = self.certificate_authority_data.as_deref();
        let pem = pem(data, file, "certificate-authority", directory)?;
        let Some(pem) = pem else { return Ok(Roots::BuiltIn) };
        Ok(Roots::Only(authorities(&pem, Path::new("certificate-authority"))?))
    }
}

impl UserJson {
    fn refuse_unsupported(&self, name: &str) -> Result<(), Misconfigured> {
        let set = [
            self.exec.map(|_| "exec"),
            self.auth_provider.map(|_| "auth-provider"),
            self.username.map(|_| "username"),
            self.r#as.map(|_| "as"),
        ];
        refuse(&format!("user `{name}`"), &set)
    }

    /// A token file wins over a token, as in client-go.
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
            (Some(chain), Some(key)) => ClientCertificate::from_pem(&chain, &key).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Misconfigured("`client-certificate` is set without `client-key`".to_owned())),
            (None, Some(_)) => Err(Misconfigured("`client-key` is set without `client-certificate`".to_owned())),
        }
    }
}

/// PEM from base64 in the file, or from a file of its own; what is in the file wins, as in client-go.
fn pem(
    data: Option<&str>,
    file: Option<&str>,
    field: &str,
    directory: &Path,
) -> Result<Option<Zeroizing<Vec<u8>>>, Misconfigured> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let data: Zeroizing<String> = Zeroizing::new(data.split_ascii_whitespace().collect());
        let decoded = STANDARD.decode(data.as_bytes());
        return decoded
            .map(|pem| Some(Zeroizing::new(pem)))
            .map_err(|_| Misconfigured(format!("`{field}-data` is not base64")));
    }
    file.filter(|file| !file.is_empty()).map(|file| read(&directory.join(file))).transpose()
}

fn refuse(of: &str, set: &[Option<&str>]) -> Result<(), Misconfigured> {
    match set.iter().flatten().next() {
        Some(field) => Err(Misconfigured(format!("{of} sets `{field}`, which is not supported"))),
        None => Ok(()),
    }
}

fn required(value: Option<String>, missing: &str) -> Result<String, Misconfigured> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| Misconfigured(missing.to_owned()))
}

fn named<T>(entries: Option<Vec<Entry<T>>>, name: &str, kind: &str) -> Result<T, Misconfigured> {
    let found = entries.into_iter().flatten().find(|entry| entry.name == name);
    found.map(|entry| entry.body).ok_or_else(|| Misconfigured(format!("{kind} `{name}` is not in `{kind}s`")))
}

/// A kubeconfig has five levels; extensions in it may have more.
const DEEPEST: usize = 64;
/// About what a node takes beside its text.
const NODE_BYTES: usize = 64;
/// Of all nodes, copies included. A hundred clusters with their certificates stay far below.
const HEAVIEST: usize = 16 * 1_024 * 1_024;

#[cfg(test)]
mod tests;
