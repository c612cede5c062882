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
mod tests {
    use super::*;
    use crate::logic::base::secret::Secret;

    const BODY: &str = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fapp\
                        &RoleSessionName=sess&DurationSeconds=3600";

    /// Signatures computed with botocore 1.44 for the same keys, time and body.
    #[test]
    fn signatures_equal_botocores() {
        let plain = "content-type;host;x-amz-date";
        let with_token = "content-type;host;x-amz-date;x-amz-security-token";
        for (url, host, region, token, covered, signature) in [
            (
                "https://sts.eu-west-1.amazonaws.com/",
                "sts.eu-west-1.amazonaws.com",
                "eu-west-1",
                None,
                plain,
                "ef7511f0393e2dace9392d6ca89a5cce987c6ea09f2678b6d6bcf9947cc6bb16",
            ),
            (
                "https://sts.eu-west-1.amazonaws.com/",
                "sts.eu-west-1.amazonaws.com",
                "eu-west-1",
                Some("session/token+=="),
                with_token,
                "9321570a455c138a0b175fbc43abd34d0ba9cbb4cf7a2740a43b913557486690",
            ),
            (
                "http://127.0.0.1:5000/",
                "127.0.0.1:5000",
                "us-east-1",
                None,
                plain,
                "d0193575218bab334b39b0451857f7f75ae4e49ca3ab207cf36ea0b847a46b48",
            ),
            (
                "http://127.0.0.1:5000/sts/v1",
                "127.0.0.1:5000",
                "us-east-1",
                Some("session/token+=="),
                with_token,
                "09ac3083875867edce94ad0b20834603d8d679ab05482cbb7c86ad536a38224f",
            ),
        ] {
            let endpoint = Endpoint { url: url.to_owned(), host: host.to_owned(), signing_region: region.to_owned() };
            let credentials = Credentials {
                access_key_id: "AKIDEXAMPLE".to_owned(),
                secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
                session_token: token.map(|token| Secret::new(token.to_owned())),
                expiration: None,
            };
            let headers = sign(&endpoint, BODY, &credentials, Wall::from_unix_seconds(1_795_402_787)).unwrap();
            let value = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            assert_eq!(value("x-amz-date"), Some("20261123T025947Z"));
            assert_eq!(value("x-amz-security-token"), token);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/{region}/sts/aws4_request, \
                 SignedHeaders={covered}, Signature={signature}"
            );
            assert_eq!(value("authorization"), Some(expected.as_str()), "{url}");
        }
    }
}
