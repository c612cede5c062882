//! Client of the Security Token Service, with the node's own credentials or a pod's token.
//!
//! Invariants: a call returns within 30 s, whatever hangs; each remedy (correct the clock, reload the node's
//! credentials) is tried once per call; no failure contains a byte of the signing credentials.

mod region;
mod sign;
mod web_identity;
mod wire;

pub use region::RegionSource;
pub(super) use web_identity::assume_with_token;
pub(super) use wire::StsRequest;
pub use wire::{StsOptions, StsWire};

use std::sync::Arc;
use std::time::Duration;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::{
    AssumeRole, Assumed, Remedy, StsAnswer, StsFailure, StsFailureKind, caller_identity_body, form_body,
    read_caller_identity, read_credentials, remedy,
};
use crate::ports::NodeCredentials;
use crate::ports::Sts;

/// Signs with the node's current credentials.
pub struct StsClient {
    wire: Arc<StsWire>,
    credentials: Arc<dyn NodeCredentials>,
}

impl StsClient {
    pub fn new(wire: Arc<StsWire>, credentials: Arc<dyn NodeCredentials>) -> Self {
        Self { wire, credentials }
    }

    /// AssumeRole within `total`.
    pub(super) fn assume_role_within(&self, request: &AssumeRole, total: Duration) -> Result<Assumed, StsFailure> {
        self.ask(Some(request.role.partition()), &form_body(request), total, read_assumed)
    }

    /// Calls STS, and repeats the call after each remedy that the failure calls for and that hasn't been tried yet.
    fn ask<T>(&self, partition: Option<&str>, body: &str, total: Duration, read: Read<T>) -> Result<T, StsFailure> {
        let deadline = self.wire.now().mono.after(total);
        let mut tried = Vec::new();
        loop {
            let credentials = self.credentials.current(self.wire.now().mono.until(deadline))?;
            let call = wire::StsRequest { partition, body, signer: Some(&credentials) };
            let (failure, date) = match self.attempt(&call, deadline, read) {
                Ok(value) => return Ok(value),
                Err(missed) => missed,
            };
            let remedy = remedy(&failure);
            if remedy == Remedy::Nothing || tried.contains(&remedy) {
                return Err(failure);
            }
            match remedy {
                Remedy::ReadTime => self.wire.correct_clock(date.as_deref()),
                Remedy::ReloadCredentials => self.credentials.reload(&credentials),
                Remedy::Nothing => {}
            }
            tried.push(remedy);
        }
    }

    fn attempt<T>(
        &self,
        call: &wire::StsRequest<'_>,
        deadline: Mono,
        read: Read<T>,
    ) -> Result<T, (StsFailure, Option<String>)> {
        let left = self.wire.now().mono.until(deadline);
        let reply = self.wire.ask(call, left).map_err(|failure| (failure, None))?;
        let secrets: Vec<&str> = call.signer.iter().flat_map(|signer| secrets_of(signer)).collect();
        read(&reply.answer(&secrets), self.wire.time_of(&reply)).map_err(|failure| (failure, reply.date))
    }
}

impl Sts for StsClient {
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure> {
        self.assume_role_within(request, CALL_TOTAL)
    }

    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure> {
        assume_with_token(&self.wire, request, token, CALL_TOTAL)
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        self.ask(None, &caller_identity_body(), CALL_TOTAL, |answer, _| read_caller_identity(answer))
    }

    fn first_caller_identity(&self) -> Result<String, StsFailure> {
        match self.credentials.first() {
            Some(first) => Self::new(self.wire.clone(), first).caller_identity(),
            None => self.caller_identity(),
        }
    }
}

/// Reads a session; how long it lives counts from the moment that AWS gave it, by AWS's own clock.
pub(super) fn read_assumed(answer: &StsAnswer<'_>, moment: Wall) -> Result<Assumed, StsFailure> {
    let credentials = read_credentials(answer, moment)?;
    let life = credentials.expiration.map_or(Duration::ZERO, |expiration| expiration.since(moment));
    Ok(Assumed { credentials, life })
}

/// What no word about a response may repeat.
fn secrets_of(credentials: &Credentials) -> impl Iterator<Item = &str> {
    let token = credentials.session_token.as_ref().map(|token| token.expose().as_str());
    token.into_iter().chain([credentials.secret_access_key.expose().as_str()])
}

type Read<T> = fn(&StsAnswer<'_>, Wall) -> Result<T, StsFailure>;

/// The failure of a call that didn't reach AWS, or whose response didn't arrive.
pub(super) fn unavailable(code: &str, message: String) -> StsFailure {
    StsFailure { kind: StsFailureKind::Unavailable, code: code.to_owned(), message, request_id: None }
}

/// The port promises 30 s; a fetch from the metadata service may exceed its limit by 4 s.
const CALL_TOTAL: Duration = Duration::from_secs(26);

#[cfg(test)]
mod tests;
