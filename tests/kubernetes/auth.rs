//! Tokens.

use std::time::Duration;

use kube2iam::for_tests::{
    ApiServer, ApiServerConnection, Auth, CallLimits, KubernetesFailureKind, Resource, Verification,
};

use crate::server::{Reply, Server};
use crate::{Directory, HandClock, api_server, names};

/// An API server whose token is in a file.
fn with_token_file(server: &Server, directory: &Directory, clock: &HandClock) -> ApiServer {
    let connection = ApiServerConnection::api_server(&server.url(), None, Verification::Required).unwrap();
    let auth = Auth::TokenFile(directory.0.join("token"));
    api_server(ApiServerConnection { auth, ..connection }, None, clock, CallLimits::default())
}

/// The token of each request.
fn tokens(server: &Server) -> Vec<String> {
    let of = |head: String| {
        head.lines().find_map(|line| Some(line.strip_prefix("authorization: Bearer ")?.to_owned())).unwrap_or_default()
    };
    server.requests().into_iter().map(of).collect()
}

#[test]
fn an_unknown_token_is_read_again_and_the_call_repeated_once() {
    let ok = Reply::recorded("list-namespaces");
    let unknown = Reply::recorded("unauthorized");
    let server = Server::play(vec![ok.clone(), unknown.clone(), ok, unknown.clone(), unknown]);
    let (directory, clock) = (Directory::new(), HandClock::default());
    let api = with_token_file(&server, &directory, &clock);
    directory.file("token", "old\n");
    names(&api, Resource::Namespaces, None).1.unwrap();
    directory.file("token", "new\n");
    names(&api, Resource::Namespaces, None).1.unwrap();
    let failure = names(&api, Resource::Namespaces, None).1.unwrap_err();
    assert_eq!(failure.kind, KubernetesFailureKind::Unauthorized);
    assert_eq!(tokens(&server), ["old", "old", "new", "new", "new"]);
}

#[test]
fn a_token_is_read_again_after_a_minute_and_survives_its_file() {
    let server = Server::play(vec![Reply::recorded("list-namespaces"); 4]);
    let (directory, clock) = (Directory::new(), HandClock::default());
    let api = with_token_file(&server, &directory, &clock);
    let path = directory.file("token", "first");
    names(&api, Resource::Namespaces, None).1.unwrap();
    directory.file("token", "second");
    clock.pass(Duration::from_secs(59));
    names(&api, Resource::Namespaces, None).1.unwrap();
    clock.pass(Duration::from_secs(1));
    names(&api, Resource::Namespaces, None).1.unwrap();
    std::fs::remove_file(path).unwrap();
    clock.pass(Duration::from_secs(60));
    names(&api, Resource::Namespaces, None).1.unwrap();
    assert_eq!(tokens(&server), ["first", "first", "second", "second"]);
}

#[test]
fn no_request_is_made_without_the_token() {
    let server = Server::play(vec![Reply::recorded("list-namespaces")]);
    let (directory, clock) = (Directory::new(), HandClock::default());
    let api = with_token_file(&server, &directory, &clock);
    for content in [None, Some(" \n"), Some("two\nlines")] {
        if let Some(content) = content {
            directory.file("token", content);
        }
        let failure = names(&api, Resource::Namespaces, None).1.unwrap_err();
        assert!(failure.cause.contains("token"), "{}", failure.cause);
        assert!(!failure.cause.contains("lines"), "{}", failure.cause);
    }
    assert_eq!(server.requests().len(), 0);
    directory.file("token", "good");
    clock.pass(Duration::from_secs(60));
    names(&api, Resource::Namespaces, None).1.unwrap();
}
