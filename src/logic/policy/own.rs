//! The roles that the agent itself runs under. Pods must not get their permissions.

use crate::logic::policy::arn::RoleArn;

/// An account and a role name in it: an assumed-role ARN contains no more about the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRole {
    pub account: String,
    pub name: String,
}

/// The agent's roles: the node's, and the intermediate one of `--assume-role-arn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnRoles {
    /// Some may still be missing. Until all are known no credentials are served, only role names.
    Sought(Vec<OwnRole>),
    /// All that could be discovered
    Found(Vec<OwnRole>),
}

impl OwnRole {
    /// Parses `arn:aws:sts::123456789012:assumed-role/NAME/SESSION`; `None` for users and other callers.
    pub fn of_caller(arn: &str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':');
        let (service, account) = (fields.nth(2)?, fields.nth(1)?);
        let name = fields.next()?.strip_prefix("assumed-role/")?.split('/').next()?;
        (service == "sts").then(|| Self { account: account.to_owned(), name: name.to_owned() })
    }

    fn is(&self, role: &RoleArn) -> bool {
        self.name == role.name() && self.account == role.account()
    }
}

impl From<&RoleArn> for OwnRole {
    fn from(role: &RoleArn) -> Self {
        Self { account: role.account().to_owned(), name: role.name().to_owned() }
    }
}

impl OwnRoles {
    /// Whether `role` is known to be one of the agent's roles.
    pub fn contains(&self, role: &RoleArn) -> bool {
        let (Self::Sought(known) | Self::Found(known)) = self;
        known.iter().any(|own| own.is(role))
    }
}
