//! The subcommands of `kube2iam redirect`.

use super::RedirectSpec;
use crate::logic::base::json::PrintedForm;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectCommand {
    Add { spec: RedirectSpec, old_rules: OldRules, credentials: CredentialsAddressing },
    Remove,
    Status(PrintedForm),
}

/// What `add` does with rules of the original kube2iam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRules {
    Name,
    /// `--adopt`
    Remove,
}

/// What `add` does with the address of container credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsAddressing {
    /// Don't change it
    Leave,
    /// `--container-credentials`
    Add,
}
