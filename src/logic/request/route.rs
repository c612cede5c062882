//! The routes. The raw target is interpreted only here; the result is a variant of [`Route`], with a
//! [`CanonicalPath`] that has been checked.
//!
//! Every segment that resembles a sensitive word (in any case, with punctuation around it, with a suffix or a
//! parameter) is sensitive at every depth: the credential tree is served in its exact spelling and refused in any
//! other, and paths that identify or configure the node are blocked unless they are allowed by name.

mod container;
mod facing;

use std::borrow::Cow;

use regex_lite::Regex;

use super::path::{CanonicalPath, ROLE_TAIL};
use crate::logic::policy::reason::Reason;
use crate::logic::request::message::{Method, Request};
pub use container::{UnreadHead, has_broken_authorization};
pub use facing::{
    CONTAINER_ADDRESS, CONTAINER_V4, Facing, METADATA_V4, METADATA_V6, facing, is_metadata_address, is_metadata_host,
};

/// The format of a role's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentForm {
    Plain,
    /// With `AccountId`, below `security-credentials-extended/`
    Extended,
    /// In the format of container providers
    Container,
}

/// A page of the agent itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPage {
    Health,
    Ready,
    Metrics,
    Store,
}

/// The resource that a request addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `PUT /latest/api/token`
    Token,
    /// `OPTIONS /latest/api/token`
    TokenOptions,
    /// Another method on the token path
    TokenMethod,
    /// `iam/security-credentials` and `iam/security-credentials-extended`, with and without a trailing slash
    RoleList(DocumentForm),
    /// A role's credentials, with the role as the request names it
    RoleDocument(DocumentForm, String),
    /// `iam/`
    IamListing,
    /// `iam/info`
    IamInfo,
    /// A directory of the metadata service whose entries are filtered
    Listing(CanonicalPath),
    /// Any other path of the metadata service
    Forward(CanonicalPath),
    Page(OwnPage),
    /// `GET /v1/credentials`
    ContainerCredentials,
    /// `/v1/credentials` under a `Host` or with a method that isn't served there, or any other path at an address
    /// that serves only container credentials
    RefuseContainer(Reason),
    Refuse(Reason),
}

/// The part of the configuration that routing depends on.
#[derive(Clone, Debug, Default)]
pub struct RouteRules {
    /// Whether this listener serves `/metrics`
    pub metrics: bool,
    /// Whether `/debug/store` exists
    pub debug: bool,
    /// Whether pods may authenticate with ServiceAccount tokens
    pub container_credentials: bool,
    /// Words of `--metadata-allow`
    pub allowed: Vec<String>,
    /// Expressions of `--metadata-deny`, matched against the lower-case path
    pub denied: Vec<Regex>,
}

impl Route {
    /// kube2iam's name of the handler, the value of the metric label `handler`.
    pub const fn handler(&self) -> &'static str {
        match self {
            Self::RoleList(_) => "securityCredentialsHandler",
            Self::RoleDocument(..) => "roleHandler",
            Self::Token | Self::TokenOptions | Self::TokenMethod => "tokenHandler",
            Self::IamListing | Self::IamInfo => "iamHandler",
            Self::Page(OwnPage::Health | OwnPage::Ready) => "healthHandler",
            Self::Page(OwnPage::Store) => "debugStoreHandler",
            Self::Page(OwnPage::Metrics) => "metricsHandler",
            Self::ContainerCredentials | Self::RefuseContainer(_) => "containerCredentialsHandler",
            Self::Listing(_) | Self::Forward(_) | Self::Refuse(_) => "reverseProxyHandler",
        }
    }
}

impl Route {
    /// The log field `way` of routes other than metadata.
    pub const fn way(&self) -> &'static str {
        match self {
            Self::ContainerCredentials | Self::RefuseContainer(_) => "container-credentials",
            _ => "",
        }
    }
}

/// Finds the route of a request.
pub fn route(request: &Request<'_>, facing: Facing, rules: &RouteRules) -> Route {
    match facing {
        Facing::Container | Facing::Loopback if container::is_asked_for(request.target) => {
            return container::route(request);
        }
        Facing::Container => return Route::RefuseContainer(Reason::NotFound),
        Facing::Metadata | Facing::Node | Facing::Loopback => {}
    }
    let Ok(path) = CanonicalPath::parse(request.target, is_metadata_host) else {
        return Route::Refuse(Reason::BadPath);
    };
    let about = classify(path, rules);
    match about {
        Route::Page(_) if facing == Facing::Metadata => Route::Refuse(Reason::NotFound),
        Route::Token => token(request.method),
        Route::Refuse(Reason::TokenPathVersioned) if request.method != Method::Put => Route::TokenMethod,
        Route::Refuse(_) => about,
        _ if matches!(request.method, Method::Get | Method::Head) => about,
        _ => Route::Refuse(Reason::MethodNotAllowed),
    }
}

fn token(method: Method) -> Route {
    match method {
        Method::Put => Route::Token,
        Method::Options => Route::TokenOptions,
        _ => Route::TokenMethod,
    }
}

/// Whether the listing of `meta-data/` includes `iam/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IamEntry {
    /// The pod has a role.
    Shown,
    Hidden,
}

/// The visible entries of a listing, in order; `iam/` is included exactly if the pod has a role.
pub fn filter_listing(path: &CanonicalPath, listing: &str, iam: IamEntry, rules: &RouteRules) -> String {
    let below = |entry: &str| format!("{}/{entry}", path.as_str().trim_end_matches('/'));
    let plain =
        |entry: &str| CanonicalPath::parse(&below(entry), |_| false).ok().filter(|path| path.odd_from().is_none());
    let shown = |entry: &str| match plain(entry).map(|path| classify(path, rules)) {
        Some(Route::Forward(_) | Route::Listing(_) | Route::Token) => true,
        Some(_) => false,
        None => entry.split_once('=').is_some_and(|(index, _)| index.bytes().all(|b| b.is_ascii_digit())),
    };
    let mut entries: Vec<&str> = listing.lines().filter(|entry| shown(entry)).collect();
    if iam == IamEntry::Shown && path.segments().map(fold).skip(1).eq(["meta-data"]) {
        let place = entries.iter().position(|entry| *entry > "iam/").unwrap_or(entries.len());
        entries.insert(place, "iam/");
    }
    entries.join("\n")
}

/// The resource at a path, for any method.
fn classify(path: CanonicalPath, rules: &RouteRules) -> Route {
    if let Some(route) = credentials(&path) {
        return route;
    }
    let segments: Vec<&str> = path.segments().collect();
    let folded: Vec<Cow<'_, str>> = segments.iter().map(|segment| fold(segment)).collect();
    let folded: Vec<&str> = folded.iter().map(|segment| &**segment).collect();
    match path.odd_from() {
        None | Some(ROLE_TAIL..) if resembles_credentials(&folded) => return Route::Refuse(Reason::NotFound),
        None => {}
        Some(_) => return Route::Refuse(Reason::BadPath),
    }
    if let Some(route) = own_page(&segments, &folded, rules) {
        return route;
    }
    if let [_, "api", "token", ..] = folded.as_slice() {
        return if segments == ["latest", "api", "token"] {
            Route::Token
        } else {
            Route::Refuse(Reason::TokenPathVersioned)
        };
    }
    if is_blocked(&folded, path.as_str(), rules) {
        return Route::Refuse(Reason::KeptBack);
    }
    match folded.as_slice() {
        [] | [_] | [_, "meta-data" | "dynamic"] | [_, "dynamic", "instance-identity"] => {
            Route::Listing(path.without_query())
        }
        _ => Route::Forward(path),
    }
}

/// The routes of the credential tree, in exactly this spelling.
fn credentials(path: &CanonicalPath) -> Option<Route> {
    if path.odd_from().is_some_and(|at| at < ROLE_TAIL) {
        return None;
    }
    let mut segments = [""; ROLE_TAIL + 1];
    let known = segments.iter_mut().zip(path.segments()).map(|(place, segment)| *place = segment).count();
    match &segments[..known] {
        [_, "meta-data", "iam"] => Some(Route::IamListing),
        [_, "meta-data", "iam", "info"] if !path.has_trailing_slash() => Some(Route::IamInfo),
        [_, "meta-data", "iam", tree] => form(tree).map(Route::RoleList),
        [_, "meta-data", "iam", tree, ..] => form(tree).map(|form| Route::RoleDocument(form, tail(path, &segments))),
        _ => None,
    }
}

/// Whether any interpretation of a path leads to credentials: what [`credentials`] doesn't serve is refused.
fn resembles_credentials(folded: &[&str]) -> bool {
    !is_tag(folded) && folded.iter().any(|word| is_credential(word))
}

fn form(tree: &str) -> Option<DocumentForm> {
    match tree {
        "security-credentials" => Some(DocumentForm::Plain),
        "security-credentials-extended" => Some(DocumentForm::Extended),
        _ => None,
    }
}

/// The segments after the first four: a role, which may contain slashes. Some clients add a trailing slash.
fn tail(path: &CanonicalPath, segments: &[&str; ROLE_TAIL + 1]) -> String {
    let before: usize = segments[..ROLE_TAIL].iter().map(|segment| "/".len() + segment.len()).sum();
    path.as_str()[before + "/".len()..].trim_end_matches('/').to_owned()
}

fn own_page(segments: &[&str], folded: &[&str], rules: &RouteRules) -> Option<Route> {
    let page = match segments {
        ["healthz"] => Some(OwnPage::Health),
        ["readyz"] => Some(OwnPage::Ready),
        ["metrics"] if rules.metrics => Some(OwnPage::Metrics),
        ["debug", "store"] if rules.debug => Some(OwnPage::Store),
        _ => None,
    };
    match (page, folded) {
        (Some(page), _) => Some(Route::Page(page)),
        (None, ["healthz" | "readyz" | "metrics" | "debug", ..]) => Some(Route::Refuse(Reason::NotFound)),
        _ => None,
    }
}

/// Whether a path is blocked: sensitive ones unless `--metadata-allow` opens them, and those that `--metadata-deny`
/// matches.
fn is_blocked(folded: &[&str], path: &str, rules: &RouteRules) -> bool {
    let opened = |word: &str| rules.allowed.iter().any(|allowed| allowed == word);
    if is_denied(folded, path, rules) {
        return true;
    }
    let cores: Vec<String> = folded.iter().map(|word| core(word)).collect();
    let mut pairs = cores.iter().zip(folded.iter().skip(1));
    let proof = cores.iter().any(|core| IDENTITY_PROOFS.contains(&core.as_str()))
        || pairs.any(|(core, behind)| core == IDENTITY && *behind != "document");
    let named = |word: &str| cores.iter().any(|core| core == word) && !opened(word);
    !is_tag(folded) && (proof && !opened(IDENTITY) || BLOCKED.iter().any(|word| *word != IDENTITY && named(word)))
}

/// Whether `--metadata-deny` matches a path, as it is or as a lenient server might interpret it.
fn is_denied(folded: &[&str], path: &str, rules: &RouteRules) -> bool {
    if rules.denied.is_empty() {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    let bare = format!("/{}", folded.join("/"));
    let closed = format!("{}/", bare.trim_end_matches('/'));
    rules.denied.iter().any(|denied| [&lower, &bare, &closed].iter().any(|reading| denied.is_match(reading)))
}

/// Tag keys are free text: `tags/instance/iam` is no credential path.
fn is_tag(folded: &[&str]) -> bool {
    matches!(folded, [_, "meta-data", "tags", "instance", _])
}

/// A segment as the most lenient server might interpret it: in any case, without punctuation at its ends.
fn fold(segment: &str) -> Cow<'_, str> {
    let bare = segment.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if bare.bytes().any(|b| b.is_ascii_uppercase()) { bare.to_ascii_lowercase().into() } else { bare.into() }
}

/// The rest of a folded segment for a server that treats `.json` as a format, `,x`, `=x` or `:x` as a parameter, `+`
/// as a blank (RFC 3986, section 3.3, mentions such uses), or `_` like `-` as OpenStack's tree does.
fn core(folded: &str) -> String {
    let end = folded.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(folded.len());
    folded[..end].trim_end_matches(['-', '_']).replace('_', "-")
}

/// Matches every segment that contains `credentials`, so that trees AWS may add are covered too.
fn is_credential(folded: &str) -> bool {
    core(folded) == "iam" || folded.contains("credentials")
}

const IDENTITY_PROOFS: [&str; 3] = ["signature", "pkcs7", "rsa2048"];
/// Its documents are served; only proofs of the instance's identity are blocked.
const IDENTITY: &str = "instance-identity";
/// Paths that are blocked unless `--metadata-allow` names them.
pub const BLOCKED: [&str; 4] = ["user-data", IDENTITY, "fws", "managed-ssh-keys"];

#[cfg(test)]
mod tests;
