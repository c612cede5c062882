//! Assumes a role with a token instead of a signature: the call carries no credentials of the node.

use std::time::Duration;

use super::{StsRequest, StsWire, read_assumed};
use crate::logic::base::secret::Secret;
use crate::logic::sts::{
    AssumeRole, Assumed, StsFailure, StsFailureKind, TokenRefusal, of_token_call, web_identity_body,
};

/// AssumeRoleWithWebIdentity within `total`. Repeated once if AWS can't reach the issuer, as AWS advises; no failure
/// contains a byte of the token.
pub(in crate::clients) fn assume_with_token(
    wire: &StsWire,
    request: &AssumeRole,
    token: &Secret<String>,
    total: Duration,
) -> Result<Assumed, StsFailure> {
    let deadline = wire.now().mono.after(total);
    let body = web_identity_body(request, token);
    let call = StsRequest { partition: Some(request.role.partition()), body: body.expose(), signer: None };
    let attempt = || {
        let reply = wire.ask(&call, wire.now().mono.until(deadline))?;
        read_assumed(&reply.answer(&[token.expose()]), wire.time_of(&reply)).map_err(of_token_call)
    };
    let first = attempt();
    let again = |failure: &StsFailure| failure.kind == StsFailureKind::Token(TokenRefusal::IssuerUnreachable);
    if first.as_ref().is_err_and(again) { attempt() } else { first }
}
