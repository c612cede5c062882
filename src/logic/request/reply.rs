//! The responses of the agent.

use std::sync::Arc;
use std::time::Duration;

use super::route::Route;
use crate::logic::base::json;
use crate::logic::base::time::Wall;
use crate::logic::operator::advice::meaning;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::request::message::{Body, JSON, Method, Response};

/// A refusal: its reason code, and the message where SDKs show it.
pub fn refusal(reason: Reason, route: &Route) -> Response {
    let reply = match route {
        Route::ContainerCredentials | Route::RefuseContainer(_) => container_error(reason),
        _ => Response::text(reason.status(), format!("{}\n", reason.word())).with("X-Content-Type-Options", "nosniff"),
    };
    match reason {
        Reason::MethodNotAllowed => reply.with("Allow", allowed_methods(route)),
        reason if reason.is_passing() => reply.with("Retry-After", "1"),
        _ => reply,
    }
}

/// An error of container credentials. Some SDKs read the lower-case keys, others the capitalised ones.
fn container_error(reason: Reason) -> Response {
    let (word, meaning) = (json::text(reason.word()), json::text(meaning(reason)));
    let body = format!(r#"{{"code":{word},"message":{meaning},"Code":{word},"Message":{meaning}}}"#);
    Response { content_type: JSON.into(), ..Response::text(reason.status(), body) }
}

/// The response to other methods on the token path, as the metadata service gives it.
pub fn token_methods(method: Method) -> Response {
    let status = if method == Method::Options { 200 } else { 405 };
    Response::empty(status).with("Allow", "OPTIONS, PUT")
}

/// A new session token.
pub fn token(token: String, ttl_s: u32) -> Response {
    Response::text(200, token).with(TOKEN_TTL, ttl_s.to_string())
}

/// Adds the remaining lifetime of the request's token to a response.
pub fn with_token_left(reply: Response, left: Option<Duration>) -> Response {
    match left {
        Some(left) => reply.with(TOKEN_TTL, left.as_secs().to_string()),
        None => reply,
    }
}

/// `iam/info` with the pod's role.
pub fn iam_info(role: &RoleArn, now: Wall) -> Response {
    let profile = role.as_str().replacen(":role/", ":instance-profile/", 1);
    let document = format!(
        "{{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"{}\",\n  \"InstanceProfileArn\" : \"{profile}\",\n  \"InstanceProfileId\" : \"{}\"\n}}",
        now.rfc3339(),
        profile_id(role),
    );
    Response::text(200, document)
}

/// The entries below `iam/`.
pub fn iam_listing() -> Response {
    Response { body: Body::Static(b"info\nsecurity-credentials/"), ..Response::empty(200) }
}

/// Credentials in the format of container providers; some SDKs compare the whole content type.
pub fn container_document(document: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Response {
    Response { content_type: JSON.into(), ..self::document(document) }
}

/// A document that was rendered before.
pub fn document(document: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Response {
    Response { body: Body::Shared(document), ..Response::empty(200) }
}

/// `/healthz`, with kube2iam's keys.
pub fn health(host_ip: &str, instance_id: &str) -> Response {
    let text = json::text(&serde_json::json!({ "hostIP": host_ip, "instanceId": instance_id }));
    Response { content_type: JSON.into(), ..Response::text(200, text) }
}

/// `/readyz`
pub fn readiness(ready: Result<(), &str>) -> Response {
    match ready {
        Ok(()) => Response::text(200, "ok\n"),
        Err(missing) => Response::text(503, format!("{missing}\n")).with("Retry-After", "1"),
    }
}

fn allowed_methods(route: &Route) -> &'static str {
    match route {
        Route::Token | Route::TokenOptions | Route::TokenMethod => "OPTIONS, PUT",
        Route::ContainerCredentials | Route::RefuseContainer(_) => "GET",
        _ => "GET, HEAD",
    }
}

/// A pod's role has no instance profile, but clients expect an ID of this form (`AIPA` and 17 letters) that doesn't
/// change, so it is derived from the role's ARN (FNV-1a).
fn profile_id(role: &RoleArn) -> String {
    let mut state = FNV_OFFSET;
    let letters = role.as_str().bytes().chain(0..17).map(|byte| {
        state = (state ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
        char::from(ID_LETTERS[usize::try_from(state >> 64 & 31).unwrap_or(0)])
    });
    let letters: String = letters.skip(role.as_str().len()).collect();
    format!("AIPA{letters}")
}

const TOKEN_TTL: &str = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds";
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The 128-bit parameters of FNV-1a (RFC 9923).
const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests;
