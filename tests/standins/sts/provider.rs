//! The identity provider of an account and the trust policies of its roles, as IAM keeps them: what
//! AssumeRoleWithWebIdentity checks a token against (STS API reference, "Errors").

use serde_json::Value;

use super::super::exchange::{Reply, wall_now};
use super::super::kubernetes::Verifier;
use super::answer::error;
use super::{Call, Sts};

/// An IAM OIDC provider, and who may have which role by it.
#[derive(Clone)]
pub struct IdentityProvider {
    pub issuer: String,
    /// Its client ids
    pub audiences: Vec<String>,
    pub verify: Verifier,
    /// Name of a role, and the `sub` that its trust policy names
    pub trusted: Vec<(String, String)>,
}

impl Sts {
    /// From now on only tokens of this provider get sessions: nobody who signs may do anything.
    pub fn take_only_tokens(&self, provider: IdentityProvider) {
        self.change(|state| state.provider = Some(provider));
    }
}

impl IdentityProvider {
    /// What is wrong with a call, if anything is.
    pub(super) fn fault(&self, call: &Call) -> Option<Reply> {
        if call.authorization.is_some() || call.security_token.is_some() || call.action != "AssumeRoleWithWebIdentity" {
            return Some(error(403, "AccessDenied", "the node may do nothing, and nothing is signed in its name"));
        }
        self.judge(call).err()
    }

    fn judge(&self, call: &Call) -> Result<(), Reply> {
        let invalid = |message: &str| error(400, "InvalidIdentityToken", message);
        let token = call.field("WebIdentityToken");
        let claims = (self.verify)(token).ok_or_else(|| invalid("Couldn't verify the token's signature"))?;
        if claims["iss"] != *self.issuer {
            return Err(invalid("No OpenIDConnect provider found in your account for the issuer"));
        }
        let named = claims["aud"].as_array().cloned().unwrap_or_default();
        if !self.audiences.iter().any(|audience| named.contains(&Value::from(audience.as_str()))) {
            return Err(invalid("Incorrect token audience"));
        }
        if claims["exp"].as_i64().is_none_or(|end| end <= wall_now().unix_seconds()) {
            return Err(error(400, "ExpiredTokenException", "Token expired"));
        }
        let role = call.field("RoleArn").rsplit('/').next().unwrap_or_default();
        let is_trusted = |(trusting, subject): &(String, String)| trusting == role && claims["sub"] == **subject;
        if !self.trusted.iter().any(is_trusted) {
            return Err(error(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"));
        }
        Ok(())
    }
}
