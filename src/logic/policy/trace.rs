//! The steps of a decision, recorded while it is made. `explain` collects them; a request doesn't, and for it
//! every step is a call of nothing.

use super::arn::RoleArn;
use super::pattern::{FirstMatch, RoleList};
use super::reason::Reason;
use crate::logic::cluster::world::{AddressHolder, TooOld};
use crate::logic::sts::AssumeRole;

/// A rule that was applied, and how it came out.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Who holds the address that asks
    Holder(&'a AddressHolder<'a>),
    /// The rules or the first lists aren't there yet.
    NotReady,
    /// What is known is too old while the API server refuses.
    TooOld(TooOld),
    /// What the pod's own annotation says; `None`: it has none.
    Annotation(Option<&'a str>),
    /// What the pod's ServiceAccount, by this name, says; `None`: nothing.
    AccountRole(&'a str, Option<&'a str>),
    /// The pod's ServiceAccount, by this name, isn't known.
    AccountUnknown(&'a str),
    /// The default role of the pod's namespace
    NamespaceRole(&'a str),
    /// No role was named: the default role stands in, if there is one.
    Default(Option<&'a RoleArn>),
    /// The role that the name stands for
    Role(&'a RoleArn),
    /// What was named is not a role.
    Malformed(&'a str),
    /// Namespaces' lists aren't asked.
    Unrestricted,
    /// Namespaces' lists don't bind the default role.
    Exempt,
    /// The pod's namespace isn't known.
    NamespaceUnknown,
    /// The pod's namespace has no list.
    NoList,
    /// What the namespace's list says of the role isn't found out yet.
    Unevaluated,
    /// The namespace's list, and its first entry that allows the role
    Evaluated(&'a RoleList, FirstMatch),
    /// The list was refused and lets pass, in audit mode.
    LetPass,
    /// The role is the one under which the agent works.
    OwnRole,
    /// Whether the role's account is among those that may be assumed into
    Account(ListVerdict),
    /// What the pod asks of its session can't be asked of STS.
    SessionMalformed(Reason),
    /// The pod names its session, and isn't listened to.
    NameIgnored,
    /// The call that gets the session
    Session(&'a AssumeRole),
}

/// Whether something allows the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListVerdict {
    Allows,
    DoesNot,
}

/// Listens to nothing.
pub fn no_trace(_: Step<'_>) {}
