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
    let info: serde_json::Value = serde_json::from_str(&body(&iam_info(&role, Wall::from_unix_seconds(0)))).unwrap();
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
