//! A role taken with a token instead of a signature: nothing of the node's goes along.

use std::time::Duration;

use super::{StsRequest, StsWire, read_assumed};
use crate::logic::base::secret::Secret;
use crate::logic::sts::{
    AssumeRole, Assumed, StsFailure, StsFailureKind, TokenRefusal, of_token_call, web_identity_body,
};

/// AssumeRoleWithWebIdentity, in no more than `total`. An issuer that AWS doesn't reach is tried once more, as AWS
/// advises; no failure carries a byte of the token.
pub(in crate::clients) fn assume_with_token(
    wire: &StsWire,
    request: &AssumeRole,
    token: &Secret<String>,
    total: Duration,
) -> Result<Assumed, StsFailure> {
    let deadline = wire.now().mono.after(total);
    let body = web_identity_body(request, token);
    let question = StsRequest { partition: Some(request.role.partition()), body: body.expose(), signer: None };
    let attempt = || {
        let reply = wire.ask(&question, wire.now().mono.until(deadline))?;
        read_assumed(&reply.answer(&[token.expose()]), wire.moment_of(&reply)).map_err(of_token_call)
    };
    let first = attempt();
    let again = |failure: &StsFailure| failure.kind == StsFailureKind::Token(TokenRefusal::IssuerUnreachable);
    if first.as_ref().is_err_and(again) { attempt() } else { first }
}
