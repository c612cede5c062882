//! The result of a check and the advice, in one line.

mod published_issuer;

pub use published_issuer::of_published_issuer;

use crate::logic::base::time::Wall;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};
use crate::logic::identity::issuer::{Issuer, IssuerFault};
use crate::logic::identity::projected_token::{ProvenPod, TokenFault};
use crate::logic::sts::{StsFailure, StsFailureKind};

/// The severity of a result. `Fail` only if pods get no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Ok,
    Warn,
    Fail,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub mark: Mark,
    /// The result, with advice if needed
    pub text: String,
}

impl Mark {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl Finding {
    pub fn ok(text: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, text: text.into() }
    }

    pub fn warn(text: impl Into<String>) -> Self {
        Self { mark: Mark::Warn, text: text.into() }
    }

    pub fn fail(text: impl Into<String>) -> Self {
        Self { mark: Mark::Fail, text: text.into() }
    }
}

/// The finding if the API server didn't let the agent `verb` a `resource`.
pub fn of_kubernetes(verb: &str, resource: &str, failure: &KubernetesFailure) -> Finding {
    let cause = &failure.cause;
    Finding::fail(match failure.kind {
        KubernetesFailureKind::Forbidden => {
            format!("{cause}; let the agent's ClusterRole `{verb}` `{resource}`")
        }
        KubernetesFailureKind::Unauthorized => {
            format!("{cause}; it doesn't know the agent's token: look at the ServiceAccount or --api-token")
        }
        _ if cause.contains(TOO_MANY_REQUESTS) => format!(
            "{cause}; it is busy: try again later, and if it stays, look at its API priority and \
             fairness for the agent's ServiceAccount"
        ),
        KubernetesFailureKind::Gone | KubernetesFailureKind::Refused | KubernetesFailureKind::Unavailable { .. } => {
            format!("{cause}; look at --api-server or --kubeconfig, the network and the server's certificate")
        }
    })
}

/// The finding about the keys of ServiceAccount tokens.
pub fn of_issuer(read: &Result<Result<Issuer, IssuerFault>, KubernetesFailure>) -> Finding {
    match read {
        Ok(Ok(issuer)) => {
            let ids: Vec<&str> = issuer.keys.ids().collect();
            Finding::ok(format!("issuer {}, keys {}", issuer.name, ids.join(", ")))
        }
        Ok(Err(IssuerFault::NoKeys)) => {
            Finding::fail("the API server lists no key for RS256, RS384, RS512, ES256 or ES384")
        }
        Ok(Err(IssuerFault::Unreadable(cause))) => Finding::fail(cause),
        Err(KubernetesFailure { kind: KubernetesFailureKind::Forbidden, cause }) => Finding::fail(format!(
            "{cause}; let the agent's ClusterRole get the nonResourceURLs `/openid/v1/jwks` and \
             `/.well-known/openid-configuration`"
        )),
        Err(failure) => of_kubernetes("get", "/openid/v1/jwks", failure),
    }
}

/// The finding about the doctor's own token.
pub fn of_token(checked: Result<ProvenPod, TokenFault>, audiences: &[String]) -> Finding {
    let fault = match checked {
        Ok(proven) => {
            let until = proven.expires.rfc3339();
            return Finding::ok(format!("proves `{}/{}` until {until}", proven.namespace, proven.name));
        }
        Err(fault) => fault,
    };
    Finding::fail(match fault {
        TokenFault::Malformed => "it is not a valid ServiceAccount token".to_owned(),
        TokenFault::KeyUnknown | TokenFault::WrongSignature => "it isn't signed with a key of this cluster".to_owned(),
        TokenFault::WrongIssuer => "it is from another issuer than this cluster's".to_owned(),
        TokenFault::WrongAudience => format!("it is for none of the audiences {}", audiences.join(", ")),
        TokenFault::Expired => "it has expired, or isn't valid yet: compare the clocks".to_owned(),
        TokenFault::Unbound => "it names no pod".to_owned(),
    })
}

/// The finding about pods (as NAMESPACE/POD) that name a role and aren't set up for tokens.
pub fn of_uninjected(pods: Result<Vec<String>, KubernetesFailure>) -> Finding {
    match pods {
        Ok(pods) if pods.is_empty() => Finding::ok("every pod here that names a role has container credentials set up"),
        Ok(pods) => {
            let shown: Vec<&str> = pods.iter().take(MOST_PODS_SHOWN).map(String::as_str).collect();
            let more = if pods.len() > shown.len() { ", ..." } else { "" };
            Finding::warn(format!(
                "{} pods name a role and have no AWS_CONTAINER_CREDENTIALS_FULL_URI, so they use the metadata \
                 address: {}{more}",
                pods.len(),
                shown.join(", ")
            ))
        }
        Err(failure) => Finding::warn(failure.cause),
    }
}

/// The finding if STS returned no session of `role` to `caller`.
pub fn of_denied_role(role: &str, caller: Option<&str>, failure: &StsFailure) -> Finding {
    let caller = caller.map_or_else(|| "the agent's own role".to_owned(), own_role);
    Finding::fail(match (failure.kind, failure.code.as_str()) {
        (StsFailureKind::Refused, "AccessDenied") => format!("{failure}; {}", denial(role, &caller, &failure.message)),
        (StsFailureKind::Refused, _) => format!("{failure}; AWS will refuse until the role or the call is changed"),
        (StsFailureKind::Throttled, _) => format!("{failure}; try again, or ask AWS for a higher limit"),
        (StsFailureKind::Unavailable, _) => format!("{failure}; see that the node reaches STS"),
        (StsFailureKind::NoNodeCredentials, _) => format!("{failure}; see the node's own credentials above"),
        (StsFailureKind::NoRegion, _) => format!("{failure}; set AWS_REGION"),
        (StsFailureKind::Token(_), _) => format!("{failure}; AWS doesn't accept the token"),
    })
}

/// Advice from AWS's message, which may name the policy that lacks a permission.
fn denial(role: &str, caller: &str, message: &str) -> String {
    let trust = format!("the trust policy of `{role}` must name `{caller}` as principal");
    let permission = format!("the policies of `{caller}` must allow sts:AssumeRole on `{role}`");
    if message.contains("sts:TagSession") {
        format!("for --session-tags both the trust policy of `{role}` and `{caller}` need sts:TagSession")
    } else if message.contains("no identity-based policy") {
        permission
    } else if message.contains("no resource-based policy") || message.contains("trust policy") {
        trust
    } else if message.contains("explicit deny") {
        format!(
            "a policy denies it explicitly: look at `{caller}`, the trust policy of `{role}` and the organization's"
        )
    } else {
        format!("either {trust}, or {permission}, or there is no such role: AWS's message is the same for all three")
    }
}

/// Converts `arn:aws:sts::A:assumed-role/NAME/SESSION` into the form in policies, `arn:aws:iam::A:role/NAME`.
fn own_role(caller: &str) -> String {
    let fields: Vec<&str> = caller.splitn(6, ':').collect();
    let name = fields.get(5).and_then(|resource| resource.strip_prefix("assumed-role/")).and_then(|rest| {
        let (name, _) = rest.split_once('/')?;
        Some(name)
    });
    match (fields.as_slice(), name) {
        ([arn, partition, _, _, account, _], Some(name)) => format!("{arn}:{partition}:iam::{account}:role/{name}"),
        _ => caller.to_owned(),
    }
}

/// The finding if the clock reads `now` and STS's response is dated `theirs`.
pub fn of_clock(now: Wall, theirs: Wall) -> Finding {
    let skew_s = (theirs.unix_millis() - now.unix_millis()) / 1_000;
    let text = match skew_s {
        0 => "agrees with STS to the second".to_owned(),
        skew if skew > 0 => format!("{skew} s behind STS"),
        skew => format!("{} s ahead of STS", -skew),
    };
    if skew_s.abs() <= TOLERATED_S {
        Finding::ok(text)
    } else {
        Finding::warn(format!("{text}; signatures are refused beyond 300 s until the agent has noticed: set the clock"))
    }
}

/// The versions that the metadata service supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedVersions {
    Both,
    /// v2
    OnlyWithToken,
    /// v1
    OnlyWithoutToken,
    Neither,
}

/// The finding about the metadata service's versions.
pub fn of_versions(served: ServedVersions) -> Finding {
    match served {
        ServedVersions::Both => Finding::ok("answers with session tokens (v2), and without (v1)"),
        ServedVersions::OnlyWithToken => Finding::ok("answers with session tokens only (v2)"),
        ServedVersions::OnlyWithoutToken => {
            Finding::warn("issues no session tokens: v1 only, or its hop limit is too low for this host")
        }
        ServedVersions::Neither => {
            Finding::fail("serves neither session tokens nor requests without one: is it disabled?")
        }
    }
}

/// The status in [`KubernetesFailure::cause`], before the server's message.
const TOO_MANY_REQUESTS: &str = "`: 429 ";
const MOST_PODS_SHOWN: usize = 5;
/// AWS tolerates five minutes; a tenth of that is worth a warning.
const TOLERATED_S: i64 = 30;

#[cfg(test)]
mod tests;
