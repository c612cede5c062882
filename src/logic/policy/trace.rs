//! The steps of a decision, recorded while it is made. `explain` collects them; for requests every step is a call to
//! an empty function.

use super::arn::RoleArn;
use super::pattern::{FirstMatch, RoleList};
use super::reason::Reason;
use crate::logic::cluster::world::{AddressHolder, TooOld};
use crate::logic::sts::AssumeRole;

/// A rule that was applied, and its outcome.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The holder of the source address
    Holder(&'a AddressHolder<'a>),
    /// The rules or the first lists aren't complete yet.
    NotReady,
    /// The World is too old while the API server is refusing.
    TooOld(TooOld),
    /// The pod's own annotation; `None`: it has none.
    Annotation(Option<&'a str>),
    /// The name of the pod's ServiceAccount and its annotation; `None`: it has none.
    AccountRole(&'a str, Option<&'a str>),
    /// The pod's ServiceAccount, by this name, isn't known.
    AccountUnknown(&'a str),
    /// The default role of the pod's namespace
    NamespaceRole(&'a str),
    /// No role was named; the operator's default role, if there is one, applies.
    Default(Option<&'a RoleArn>),
    /// The role that the name resolves to
    Role(&'a RoleArn),
    /// The name is not a role.
    Malformed(&'a str),
    /// Namespaces' lists aren't checked.
    Unrestricted,
    /// Namespaces' lists don't restrict the default role.
    Exempt,
    /// The pod's namespace isn't known.
    NamespaceUnknown,
    /// The pod's namespace has no list.
    NoList,
    /// The namespace's list hasn't been evaluated for the role yet.
    Unevaluated,
    /// The namespace's list, and its first entry that allows the role
    Evaluated(&'a RoleList, FirstMatch),
    /// The list refuses, and audit mode allows.
    LetPass,
    /// The agent itself runs under the role.
    OwnRole,
    /// Whether the role's account is one of the allowed accounts
    Account(ListVerdict),
    /// A session annotation of the pod isn't valid for STS.
    SessionMalformed(Reason),
    /// The pod's session name is ignored, as configured.
    NameIgnored,
    /// The call that gets the session
    Session(&'a AssumeRole),
}

/// Whether a list allows the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListVerdict {
    Allows,
    DoesNot,
}

/// Ignores every step.
pub fn no_trace(_: Step<'_>) {}
