//! Which role a pod gets, and which roles are allowed.

use super::flags::RoleFlags;
use super::pflag::CommandLine;
use super::usage::UsageError;
use super::values::{one_of, or_allowed};
use crate::logic::policy::arn::{BaseArn, is_arn};
use crate::logic::policy::pattern::Format;
use crate::logic::policy::{AccountRoles, DefaultObeys, Enforcement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesConfig {
    pub base: BaseSource,
    pub default_role: DefaultRoleSource,
    pub default_role_obeys: DefaultObeys,
    /// Whether pods that name no role get that of their ServiceAccount
    pub account_roles: AccountRoles,
    /// How namespaces' lists are interpreted; `None`: they are not enforced
    pub restrictions: Option<Format>,
    pub enforcement: Enforcement,
    /// The accounts whose roles may be assumed, twelve digits each; empty: all
    pub allowed_accounts: Vec<String>,
}

/// The prefix for roles that are not ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseSource {
    None,
    Given(BaseArn),
    /// That of the node's own role, from the metadata service
    Discover,
}

/// The role of pods that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultRoleSource {
    None,
    /// A name, a path and name, or an ARN
    Given(String),
    /// The node's own role, from the metadata service
    Discover,
}

impl RolesConfig {
    pub(super) fn read(
        flags: RoleFlags,
        line: &CommandLine<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let base = base(&flags, line, warnings)?;
        let default_role = default_role(&flags, line, &base, warnings)?;
        for (given, flag) in [
            (flags.policy_mode == Enforcement::Audit, "--policy-mode=audit"),
            (flags.default_role_restricted, "--default-role-restricted"),
        ] {
            if given && !flags.namespace_restrictions {
                warnings.push(format!("{flag} has no effect without --namespace-restrictions"));
            }
        }
        Ok(Self {
            base,
            default_role,
            default_role_obeys: match flags.default_role_restricted {
                true => DefaultObeys::Namespaces,
                false => DefaultObeys::Nothing,
            },
            account_roles: if flags.service_account_roles { AccountRoles::Read } else { AccountRoles::Ignored },
            restrictions: flags.namespace_restrictions.then_some(flags.namespace_restriction_format),
            enforcement: flags.policy_mode,
            allowed_accounts: flags.allowed_accounts,
        })
    }
}

fn base(flags: &RoleFlags, line: &CommandLine<'_>, warnings: &mut Vec<String>) -> Result<BaseSource, UsageError> {
    let shown = || line.shown("base-role-arn");
    let given = flags.base_role_arn.as_ref();
    if given.is_some_and(|base| account(base.account()).is_err()) {
        warnings.push(format!("{} names no account of 12 digits: STS will refuse its roles", shown()));
    }
    match given {
        Some(_) if flags.auto_discover_base_arn => {
            Err(UsageError::contradiction(shown(), "allowed is either this or --auto-discover-base-arn"))
        }
        _ if flags.auto_discover_default_role => {
            if given.is_some() {
                warnings
                    .push("--auto-discover-default-role finds the base too: --base-role-arn has no effect".to_owned());
            }
            Ok(BaseSource::Discover)
        }
        Some(base) => Ok(BaseSource::Given(base.clone())),
        None if flags.auto_discover_base_arn => Ok(BaseSource::Discover),
        None => Ok(BaseSource::None),
    }
}

fn default_role(
    flags: &RoleFlags,
    line: &CommandLine<'_>,
    base: &BaseSource,
    warnings: &mut Vec<String>,
) -> Result<DefaultRoleSource, UsageError> {
    let shown = || line.shown("default-role");
    match &flags.default_role {
        None if flags.auto_discover_default_role => Ok(DefaultRoleSource::Discover),
        None => Ok(DefaultRoleSource::None),
        Some(_) if flags.auto_discover_default_role => {
            Err(UsageError::contradiction(shown(), "allowed is either this or --auto-discover-default-role"))
        }
        Some(role) => {
            if *base == BaseSource::None && !is_arn(role) {
                warnings.push(format!("{} is no ARN and there is no --base-role-arn: no pod can get it", shown()));
            }
            Ok(DefaultRoleSource::Given(role.clone()))
        }
    }
}

pub(super) fn base_arn(text: &str) -> Result<BaseArn, String> {
    or_allowed(BaseArn::parse(text).ok(), "arn:PARTITION:iam::ACCOUNT:role/ with or without a path")
}

/// A role as an annotation names it. A bare name is checked with the base ARN of an arbitrary account.
pub(super) fn role(text: &str) -> Result<String, String> {
    let arn = BaseArn::parse(SOME_BASE).ok().and_then(|base| base.role(text).ok());
    or_allowed(arn.map(|_| text.to_owned()), "a role's name, or arn:PARTITION:iam::ACCOUNT:role/NAME")
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    one_of(text, &FORMATS)
}

pub(super) fn enforcement(text: &str) -> Result<Enforcement, String> {
    one_of(text, &MODES)
}

pub(super) fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    or_allowed(is_account.then(|| text.to_owned()), "account numbers of twelve digits, separated by commas")
}

const FORMATS: [(&str, Format); 3] =
    [("glob", Format::Glob), ("regexp", Format::Regexp), ("regexp-unanchored", Format::RegexpUnanchored)];
const MODES: [(&str, Enforcement); 2] = [("enforce", Enforcement::Enforce), ("audit", Enforcement::Audit)];
const SOME_BASE: &str = "arn:aws:iam::000000000000:role/";
