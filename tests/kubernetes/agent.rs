//! The agent that all edges share: proxies and options.

use std::time::Duration;

use kube2iam::for_tests::{
    AgentOptions, Authorities, ClientCertificate, Misconfigured, Pem, ProxyEnvironment, ProxyUse, Secret, TimeLimits,
    TlsOptions, http_agent,
};

use crate::server::{Reply, Server};

const TARGET: &str = "http://sts.stand-in.test:8080/";

fn through(proxy: &str, no_proxy: &str, target: &str) -> Result<ureq::Agent, Misconfigured> {
    let environment = ProxyEnvironment {
        https_proxy: None,
        http_proxy: Some(Secret::new(proxy.to_owned())),
        no_proxy: Some(no_proxy.to_owned()),
    };
    http_agent(&AgentOptions {
        proxy: ProxyUse::FromEnvironment { environment, target: target.to_owned() },
        tls: TlsOptions::public("STS"),
        limits: TimeLimits {
            connect: Duration::from_secs(5),
            send: Duration::from_secs(5),
            response_head: Duration::from_secs(5),
            response_body: Some(Duration::from_secs(5)),
            idle_read: None,
        },
        idle_connections: 1,
    })
}

#[test]
fn a_proxy_stands_between_unless_the_target_is_excepted() {
    let connected = Reply::raw(b"HTTP/1.1 200 Connection established\r\n\r\n", crate::server::Then::KeepOpen);
    let server = Server::play(vec![connected, Reply::status("204 No Content", "", "")]);
    let proxy = format!("http://user:hunter2@{}", server.address);
    assert_eq!(through(&proxy, "", TARGET).unwrap().get(TARGET).call().unwrap().status(), 204);
    let seen = server.finish();
    assert!(seen[0].starts_with("CONNECT sts.stand-in.test:8080 HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[1].starts_with("GET / HTTP/1.1\r\n"), "{seen:?}");
    let direct = through(&proxy, "stand-in.test", TARGET).unwrap();
    assert!(direct.config().proxy().is_none());
}

#[test]
fn unusable_options_are_named_without_their_secrets() {
    for (proxy, target) in [
        ("socks5://user:hunter2@10.0.0.1", TARGET),
        ("ftp://user:hunter2@10.0.0.1", TARGET),
        ("http://user:hunter2@", TARGET),
        ("http://10.0.0.1", "sts.stand-in.test"),
        ("http://10.0.0.1", "ftp://sts.stand-in.test"),
        ("http://10.0.0.1", "http://"),
        ("http://10.0.0.1", ""),
    ] {
        let refused = through(proxy, "", target).unwrap_err().to_string();
        assert!(refused.starts_with("unusable "), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    for pem in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let pem = Pem::from(pem.as_bytes());
        assert!(Authorities::new(pem.clone()).is_err());
        assert!(ClientCertificate::new(pem.clone(), pem).is_err());
    }
}
