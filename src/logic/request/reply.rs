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
mod tests {
    use super::*;

    fn body(reply: &Response) -> String {
        match &reply.body {
            Body::Owned(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Static(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    #[test]
    fn refusals_have_their_reason_code_and_retry_after() {
        for (reason, headers) in [
            (Reason::NoRole, "X-Content-Type-Options: nosniff"),
            (Reason::StsThrottled, "X-Content-Type-Options: nosniff, Retry-After: 1"),
            (Reason::MethodNotAllowed, "X-Content-Type-Options: nosniff, Allow: GET, HEAD"),
        ] {
            let reply = refusal(reason, &Route::IamInfo);
            let found: Vec<String> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(
                (reply.status, body(&reply), found.join(", ")),
                (reason.status(), format!("{}\n", reason.word()), headers.into())
            );
        }
    }

    #[test]
    fn errors_of_container_credentials_have_both_spellings() {
        let reply = refusal(Reason::TokenMissing, &Route::ContainerCredentials);
        assert_eq!((reply.status, &*reply.content_type, reply.headers.len()), (400, "application/json", 0));
        assert_eq!(
            body(&reply),
            "{\"code\":\"token_missing\",\"message\":\"the request carries no ServiceAccount token in `Authorization`\",\
             \"Code\":\"token_missing\",\"Message\":\"the request carries no ServiceAccount token in `Authorization`\"}"
        );
        let reply = refusal(Reason::MethodNotAllowed, &Route::RefuseContainer(Reason::MethodNotAllowed));
        assert_eq!((reply.status, reply.headers), (405, vec![("Allow", "GET".to_owned())]));
        let reply = refusal(Reason::KeysUnknown, &Route::ContainerCredentials);
        assert_eq!((reply.status, reply.headers), (503, vec![("Retry-After", "1".to_owned())]));
        for reason in Reason::ALL {
            let reply = refusal(*reason, &Route::ContainerCredentials);
            let error: serde_json::Value = serde_json::from_str(&body(&reply)).unwrap();
            assert_eq!((&error["code"], &error["message"]), (&error["Code"], &error["Message"]), "{reason:?}");
        }
    }

    #[test]
    fn iam_info_names_the_pods_role() {
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/team/app").unwrap();
        let info: serde_json::Value =
            serde_json::from_str(&body(&iam_info(&role, Wall::from_unix_seconds(0)))).unwrap();
        assert_eq!(info["Code"], "Success");
        assert_eq!(info["InstanceProfileArn"], "arn:aws:iam::123456789012:instance-profile/team/app");
        let id = info["InstanceProfileId"].as_str().unwrap();
        assert!(id.starts_with("AIPA") && id.len() == 21, "{id}");
        assert_eq!(id, profile_id(&role));
        assert_ne!(id, profile_id(&RoleArn::parse("arn:aws:iam::123456789012:role/team/apq").unwrap()));
    }

    #[test]
    fn health_has_the_keys_of_kube2iam() {
        assert_eq!(body(&health("10.0.0.1", "i-1")), r#"{"hostIP":"10.0.0.1","instanceId":"i-1"}"#);
    }

    fn headers(reply: &Response) -> String {
        let headers: Vec<String> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        headers.join(", ")
    }

    #[test]
    fn the_token_path_names_its_methods() {
        for (method, status) in [(Method::Options, 200), (Method::Get, 405), (Method::Post, 405)] {
            let reply = token_methods(method);
            assert_eq!((reply.status, headers(&reply).as_str()), (status, "Allow: OPTIONS, PUT"), "{method:?}");
        }
        for route in [Route::Token, Route::TokenOptions, Route::TokenMethod] {
            assert!(headers(&refusal(Reason::MethodNotAllowed, &route)).ends_with("Allow: OPTIONS, PUT"), "{route:?}");
        }
    }

    #[test]
    fn documents_have_the_type_that_their_readers_expect() {
        let rendered: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(b"{}".to_vec());
        for (reply, content_type, text) in [
            (document(rendered.clone()), "text/plain; charset=utf-8", "{}"),
            (container_document(rendered), "application/json", "{}"),
            (health("", ""), "application/json", r#"{"hostIP":"","instanceId":""}"#),
            (iam_listing(), "text/plain; charset=utf-8", "info\nsecurity-credentials/"),
        ] {
            assert_eq!((&*reply.content_type, reply.status), (content_type, 200));
            assert_eq!(reply.body.into_text().unwrap(), text);
        }
    }

    #[test]
    fn token_responses_have_the_lifetime_and_others_the_remaining_one() {
        assert_eq!(headers(&token("t".into(), 60)), format!("{TOKEN_TTL}: 60"));
        let left = |left| headers(&with_token_left(Response::empty(200), left));
        assert_eq!(left(Some(Duration::from_millis(59_999))), format!("{TOKEN_TTL}: 59"));
        assert_eq!(left(None), "");
    }
}
