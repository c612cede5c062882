//! Which role a pod has, and whether it may have it.

use super::flags::RoleFlags;
use super::given::{entries, unless_empty};
use super::usage::UsageError;
use super::values::one_of;
use crate::logic::policy::arn::{BaseArn, is_arn};
use crate::logic::policy::pattern::Format;
use crate::logic::policy::{AccountRoles, DefaultObeys, Enforcement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesConfig {
    pub base: BaseSource,
    pub default_role: DefaultRoleSource,
    pub default_role_obeys: DefaultObeys,
    /// What pods that name no role get of their ServiceAccount
    pub account_roles: AccountRoles,
    /// How namespaces' lists are read; `None`: they bind nobody
    pub restrictions: Option<Format>,
    pub enforcement: Enforcement,
    /// The accounts whose roles may be assumed, twelve digits each; empty: all
    pub allowed_accounts: Vec<String>,
}

/// What goes before roles that are not ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseSource {
    None,
    Given(BaseArn),
    /// Of the node's own role, by the metadata service
    Discover,
}

/// The role of pods that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultRoleSource {
    None,
    /// A name, a path and name, or an ARN
    Given(String),
    /// The node's own role, by the metadata service
    Discover,
}

impl RolesConfig {
    pub(super) fn read(flags: &RoleFlags, warnings: &mut Vec<String>) -> Result<Self, UsageError> {
        let base = base(flags, warnings)?;
        let default_role = default_role(flags, &base, warnings)?;
        let format = one_of(&flags.namespace_restriction_format, &FORMATS)?;
        let accounts = entries(&flags.allowed_accounts);
        let enforcement = one_of(&flags.policy_mode, &MODES)?;
        for (given, flag) in [
            (enforcement == Enforcement::Audit, "--policy-mode=audit"),
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
            restrictions: flags.namespace_restrictions.then_some(format),
            enforcement,
            allowed_accounts: accounts.iter().map(|given| given.read(AN_ACCOUNT, account)).collect::<Result<_, _>>()?,
        })
    }
}

fn base(flags: &RoleFlags, warnings: &mut Vec<String>) -> Result<BaseSource, UsageError> {
    let given = unless_empty(flags.base_role_arn.as_ref());
    let parsed = given.map(|given| given.read(A_BASE, |text| BaseArn::parse(text).ok())).transpose()?;
    if let (Some(given), Some(base)) = (given, &parsed)
        && account(base.account()).is_none()
    {
        warnings.push(format!("{} names no account of 12 digits: STS will refuse its roles", given.shown()));
    }
    match (given, parsed) {
        (Some(given), _) if flags.auto_discover_base_arn => {
            Err(given.conflict("allowed is either this or --auto-discover-base-arn"))
        }
        (given, _) if flags.auto_discover_default_role => {
            if given.is_some() {
                warnings
                    .push("--auto-discover-default-role finds the base too: --base-role-arn has no effect".to_owned());
            }
            Ok(BaseSource::Discover)
        }
        (_, Some(base)) => Ok(BaseSource::Given(base)),
        _ if flags.auto_discover_base_arn => Ok(BaseSource::Discover),
        _ => Ok(BaseSource::None),
    }
}

fn default_role(
    flags: &RoleFlags,
    base: &BaseSource,
    warnings: &mut Vec<String>,
) -> Result<DefaultRoleSource, UsageError> {
    let Some(given) = unless_empty(flags.default_role.as_ref()) else {
        return Ok(if flags.auto_discover_default_role {
            DefaultRoleSource::Discover
        } else {
            DefaultRoleSource::None
        });
    };
    if flags.auto_discover_default_role {
        return Err(given.conflict("allowed is either this or --auto-discover-default-role"));
    }
    let role = given.read("a role's name, or arn:PARTITION:iam::ACCOUNT:role/NAME", |text| {
        // a name is judged as it would stand in some account
        BaseArn::parse(SOME_BASE).ok()?.role(text).ok().map(|_| text.to_owned())
    })?;
    if *base == BaseSource::None && !is_arn(&role) {
        let role = given.shown();
        warnings.push(format!("{role} is no ARN and there is no --base-role-arn: no pod can get it"));
    }
    Ok(DefaultRoleSource::Given(role))
}

fn account(text: &str) -> Option<String> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

const FORMATS: [(&str, Format); 3] =
    [("glob", Format::Glob), ("regexp", Format::Regexp), ("regexp-unanchored", Format::RegexpUnanchored)];
const MODES: [(&str, Enforcement); 2] = [("enforce", Enforcement::Enforce), ("audit", Enforcement::Audit)];
const A_BASE: &str = "arn:PARTITION:iam::ACCOUNT:role/ with or without a path";
const AN_ACCOUNT: &str = "account numbers of twelve digits, separated by commas";
const SOME_BASE: &str = "arn:aws:iam::000000000000:role/";
