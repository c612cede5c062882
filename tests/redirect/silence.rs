//! A peer that is gone without a word: no RST, no FIN, nothing comes any more.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube2iam::for_tests::{
    AnnotationKeys, ApiServer, ApiServerConnection, ApiServerOptions, CallLimits, Kubernetes, ProxyEnvironment,
    Resource, SystemClock, Verification,
};

use crate::lab::{Lab, ready};

/// Beyond the uplink.
const API_SERVER: &str = "10.77.0.1:6443";
/// What `manifests/docs` promises.
const NOTICED_WITHIN: Duration = Duration::from_secs(45);

fn api_server() -> ApiServer {
    let keys = AnnotationKeys {
        role: "iam.amazonaws.com/role".to_owned(),
        external_id: "iam.amazonaws.com/external-id".to_owned(),
        allowed_roles: "iam.amazonaws.com/allowed-roles".to_owned(),
    };
    ApiServer::new(ApiServerOptions {
        connection: ApiServerConnection::api_server(&format!("http://{API_SERVER}"), None, Verification::Required)
            .unwrap(),
        proxies: ProxyEnvironment::default(),
        node: None,
        keys,
        clock: Arc::new(SystemClock::new()),
        limits: CallLimits::default(),
    })
    .unwrap()
}

#[test]
fn a_watch_whose_peer_is_gone_without_a_word_ends_within_45_seconds() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&[]);
    let listener = lab.inside("cloud", || TcpListener::bind(API_SERVER).unwrap());
    let (opened, is_open) = std::sync::mpsc::channel();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4_096];
        let _ = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        opened.send(stream).unwrap();
    };
    let server = std::thread::Builder::new().spawn(serve).unwrap();
    let node = &lab;
    let (error, took) = lab.node(move || {
        let api = api_server();
        let mut lines = api.watch(Resource::Pods, "1").unwrap();
        let stream = is_open.recv().unwrap();
        for words in
            ["add table inet dead", "add chain inet dead in { type filter hook input priority 0; policy drop; }"]
        {
            node.exec("cloud", "nft", &[words]);
        }
        let start = Instant::now();
        let error = lines.next_line().map(|_| ()).unwrap_err().cause;
        drop(stream);
        (error, start.elapsed())
    });
    server.join().unwrap();
    assert!(took < NOTICED_WITHIN, "{took:?}: {error}");
    assert!(error.contains("acknowledges"), "{error}");
}
