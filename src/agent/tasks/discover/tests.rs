use super::*;
use crate::logic::base::secret::Secret;
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::{AssumeRole, Assumed, StsFailure};
use std::sync::Arc;

/// Returns a caller, or a failure.
struct FixedSts(Result<&'static str, StsFailureKind>);

impl Sts for FixedSts {
    fn assume_role(&self, _: &AssumeRole) -> Result<Assumed, StsFailure> {
        Err(failure(StsFailureKind::Unavailable))
    }

    fn assume_role_with_web_identity(&self, _: &AssumeRole, _: &Secret<String>) -> Result<Assumed, StsFailure> {
        Err(failure(StsFailureKind::Unavailable))
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        self.0.map(str::to_owned).map_err(failure)
    }
}

fn failure(kind: StsFailureKind) -> StsFailure {
    StsFailure { kind, code: "Code".into(), message: String::new(), request_id: None }
}

/// A source with or without a known role.
struct Source(Option<&'static str>);

impl NodeCredentials for Source {
    fn current(&self, _: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Err(failure(StsFailureKind::NoNodeCredentials))
    }

    fn reload(&self, _: &Credentials) {}

    fn describe(&self) -> String {
        "a test".into()
    }

    fn role(&self) -> Option<OwnRole> {
        self.0.map(own)
    }
}

fn own(name: &str) -> OwnRole {
    OwnRole { account: "123456789012".into(), name: name.into() }
}

#[test]
fn own_role_comes_from_sts_or_else_from_the_source() {
    let named = Ok("arn:aws:sts::123456789012:assumed-role/named/i-1");
    let refused = Err(StsFailureKind::Refused);
    for (sts, source, found) in [
        (named, Some("known"), Ok(Some(own("named")))),
        (Ok("arn:aws:iam::123456789012:user/u"), None, Ok(None)),
        (refused, Some("known"), Ok(Some(own("known")))),
        (refused, None, Ok(None)),
        (Err(StsFailureKind::Unavailable), Some("known"), Err(())),
        (Err(StsFailureKind::NoNodeCredentials), None, Err(())),
    ] {
        assert_eq!(own_role(&FixedSts(sts), &Source(source), |_| {}).map_err(drop), found, "{sts:?}");
    }
}
