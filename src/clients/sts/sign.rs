//! Signs calls (Signature Version 4) with AWS's own crate.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as Keys;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4::SigningParams;

use super::unavailable;
use crate::logic::base::time::Wall;
use crate::logic::sessions::credentials::Credentials;
use crate::logic::sts::StsFailure;
use crate::logic::sts::endpoints::Endpoint;

/// The headers (names and values) that sign `body` for `endpoint` at the time `at`. `host` and `content-type` are
/// signed, so both must be sent as used here.
pub(super) fn sign(
    endpoint: &Endpoint,
    body: &str,
    credentials: &Credentials,
    at: Wall,
) -> Result<Vec<(&'static str, String)>, StsFailure> {
    let unsigned =
        |what: &dyn std::fmt::Display| unavailable("Unsigned", format!("failed to sign `{}`: {what}", endpoint.url));
    let token = credentials.session_token.as_ref().map(|token| token.expose().clone());
    let secret = credentials.secret_access_key.expose().clone();
    let identity = Keys::new(credentials.access_key_id.clone(), secret, token, None, "node").into();
    let since_epoch = Duration::from_millis(u64::try_from(at.unix_millis()).unwrap_or(0));
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&endpoint.signing_region)
        .name("sts")
        .time(SystemTime::UNIX_EPOCH + since_epoch)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| unsigned(&error))?
        .into();
    let covered = [("host", endpoint.host.as_str()), ("content-type", CONTENT_TYPE)];
    let request =
        SignableRequest::new("POST", endpoint.url.as_str(), covered.into_iter(), SignableBody::Bytes(body.as_bytes()))
            .map_err(|error| unsigned(&error))?;
    let (instructions, _signature) = sign_request(request, &params).map_err(|error| unsigned(&error))?.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.iter().map(|header| (header.name(), header.value().to_owned())).collect())
}

/// The content type of the AWS query protocol.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[cfg(test)]
mod tests;
