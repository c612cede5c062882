//! Checks of container credentials: the keys of tokens, doctor's own token, and pods without a token that need one.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Checks, DoctorContext};
use crate::cli::operator::Failure;
use crate::clients::kubernetes::ApiServer;
use crate::config::EnvironmentLookup;
use crate::logic::identity::issuer::{Issuer, IssuerFault};
use crate::logic::identity::projected_token::{self, TokenRules};
use crate::logic::operator::doctor::{Finding, of_issuer, of_published_issuer, of_token, of_uninjected};
use crate::logic::sessions::session::CallsBear;
use crate::os::files::read_text;
use crate::ports::IssuerDiscovery;

/// The container credentials variables of a pod's SDKs.
pub(super) struct OwnToken {
    file: Option<String>,
    uri: Option<String>,
}

impl OwnToken {
    pub(super) fn from_lookup(lookup: EnvironmentLookup<'_>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        Self { file: set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), uri: set("AWS_CONTAINER_CREDENTIALS_FULL_URI") }
    }
}

pub(super) fn check(context: &DoctorContext, server: &ApiServer, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let mut issuer = None;
    checks.check("token keys", || {
        let now = context.clock.now().wall;
        let read = server.issuer_documents().map(|documents| Issuer::read(&documents, now));
        let finding = of_issuer(&read);
        issuer = read.ok().and_then(Result::<Issuer, IssuerFault>::ok);
        finding
    })?;
    if let (CallsBear::PodToken, Some(issuer)) = (context.config.sts.bearing, &issuer) {
        checks.check("issuer for AWS", || of_published_issuer(&issuer.name))?;
    }
    if let (Some(file), Some(issuer)) = (&context.own_token.file, &issuer) {
        checks.check("own token", || own_token(context, file, issuer))?;
    }
    if let Some(uri) = &context.own_token.uri {
        checks.check("own endpoint", || own_endpoint(uri))?;
    }
    checks.check("injection", || of_uninjected(server.uninjected_pods()))
}

fn own_token(context: &DoctorContext, file: &str, issuer: &Issuer) -> Finding {
    let token = match read_text(file) {
        Ok(token) => token,
        Err(cause) => return Finding::warn(cause),
    };
    let audiences = &context.config.listen.token_audiences;
    let rules = TokenRules { keys: &issuer.keys, issuer: &issuer.name, audiences };
    of_token(projected_token::check(token.expose().as_bytes(), rules, context.clock.now().wall), audiences)
}

/// Whether the endpoint is reachable from here.
fn own_endpoint(uri: &str) -> Finding {
    let authority = uri.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let Some(address) = authority.to_socket_addrs().ok().and_then(|mut found| found.next()) else {
        return Finding::warn(format!("`{uri}` names no address over plain HTTP"));
    };
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Finding::ok(format!("{address} can be reached from here")),
        Err(cause) => Finding::fail(format!(
            "{address} can't be reached from here: {cause}; look at NetworkPolicies, and on the node at \
             `kube2iam redirect status`"
        )),
    }
}

/// SDKs time out sooner.
const PATIENCE: Duration = Duration::from_secs(2);
