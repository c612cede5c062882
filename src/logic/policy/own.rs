//! The roles under which the agent itself works: what they may, no pod should.

use crate::logic::policy::arn::RoleArn;

/// An account and the name of a role in it: all that an assumed role's ARN says of the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRole {
    pub account: String,
    pub name: String,
}

/// The roles of the agent: the node's, and with `--assume-role-arn` the one on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnRoles {
    /// Some may be missing yet: until all are known no credentials are given, though role names are.
    Sought(Vec<OwnRole>),
    /// All that could be found
    Found(Vec<OwnRole>),
}

impl OwnRole {
    /// Reads `arn:aws:sts::123456789012:assumed-role/NAME/SESSION`; `None` for users and other callers.
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
    /// Whether `role` is known to be one of them.
    pub fn hold(&self, role: &RoleArn) -> bool {
        let (Self::Sought(known) | Self::Found(known)) = self;
        known.iter().any(|own| own.is(role))
    }
}
