//! Who asks for metadata gets metadata alone, however the request is dressed; the agent's own pages are elsewhere.

use std::net::SocketAddr;

use crate::network::{in_private_network, rules, run};
use crate::site::{BASE, OWN, POD, REGION, ROLES, Site};
use crate::standins::Lab;
use crate::standins::agent::free_port;
use crate::standins::client::{self, Ask, Connection, TTL_HEADER};
use crate::standins::kubernetes::PodSpec;

const OWN_PAGES: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/debug/store", "/debug/x"];
const METADATA_HOSTS: [&str; 10] = [
    "169.254.169.254",
    "169.254.169.254:80",
    "169.254.169.254:8181",
    "[fd00:ec2::254]",
    "[FD00:EC2:0:0::254]:80",
    "[::ffff:169.254.169.254]",
    "instance-data",
    "Instance-Data:80",
    "instance-data.ec2.internal.",
    "",
];

#[test]
fn hosts_of_the_metadata_service_get_no_page_of_the_agents() {
    let site = Site::open(&["--debug"]);
    for host in METADATA_HOSTS {
        for page in OWN_PAGES {
            let answer = site.ask(&Ask::get(page).host(host));
            assert_eq!((answer.status, answer.text().as_str()), (404, "not_found\n"), "{host} {page}");
        }
        assert_eq!(site.ask(&Ask::get(ROLES).host(host)).text(), "app", "{host}");
    }
    let hostless = client::raw(site.addr(), POD, b"GET /metrics HTTP/1.0\r\n\r\n");
    assert!(hostless.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&hostless));
    let absolute = Ask::get("http://169.254.169.254/metrics").host(&site.addr().to_string());
    assert_eq!(site.ask(&absolute).status, 404);
    assert!(!site.lab.metadata.seen().iter().any(|seen| OWN_PAGES.contains(&seen.target.as_str())));
}

#[test]
fn other_hosts_get_the_agents_pages_and_metadata_too() {
    let site = Site::open(&["--debug"]);
    for host in [site.addr().to_string(), "localhost".to_owned(), "node-1.example:8181".to_owned()] {
        for (page, status) in
            [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/debug/store", 200), ("/debug/x", 404)]
        {
            assert_eq!(site.ask(&Ask::get(page).host(&host)).status, status, "{host} {page}");
        }
        assert_eq!(site.ask(&Ask::new("POST", "/metrics").host(&host)).status, 405);
        assert_eq!(site.ask(&Ask::get(ROLES).host(&host)).text(), "app", "{host}");
        assert_eq!(site.ask(&Ask::get(&format!("http://169.254.169.254{ROLES}")).host(&host)).text(), "app", "{host}");
        assert_eq!(site.ask(&Ask::get(&format!("http://{host}/healthz")).host(&host)).status, 400, "{host}");
    }
    let closed = Site::open(&[]);
    assert_eq!(client::get_as_operator(closed.addr(), "/debug/store").status, 404);
}

#[test]
fn metrics_move_to_a_port_of_their_own() {
    let port = free_port();
    let site = Site::open(&[&format!("--metrics-port={port}"), "--metrics-bind-address=127.0.0.1"]);
    let operator = SocketAddr::from(([127, 0, 0, 1], port));
    let metrics = client::get_as_operator(operator, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("kube2iam_info{"));
    // There before anything ever panicked, so that an alert has a zero to start from.
    assert!(metrics.text().contains("kube2iam_connections_total{event=\"panicked\"} 0"));
    assert_eq!(client::get_as_operator(site.addr(), "/metrics").status, 404);
    assert_eq!(client::get_as_operator(site.addr(), "/healthz").status, 200);
    for page in [ROLES, OWN, REGION, "/healthz", "/debug/store", "/", "/latest/api/token"] {
        assert_eq!(client::get(operator, POD, page).status, 404, "{page}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(Ask::new(method, "/metrics").send(operator, "127.0.0.1").status, 405, "{method}");
    }
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
    assert!(Connection::try_open(elsewhere, "127.0.0.1").is_err(), "it listens on more than it was told");
}

#[test]
fn pods_can_be_kept_to_one_address() {
    let site = Site::open(&["--bind-address=127.0.0.1"]);
    assert_eq!(site.get(ROLES).text(), "app");
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], site.addr().port()));
    assert!(Connection::try_open(elsewhere, POD).is_err(), "it listens on more than it was told");
}

/// What a pod's packets go through on a node, v4 and v6: the kernel sends them elsewhere and remembers where they
/// were meant to go.
#[test]
fn a_forged_host_gains_nothing_through_the_redirect() {
    in_private_network(|| {
        run("ip", &["route", "add", "169.254.169.254/32", "dev", "lo"]);
        run("ip", &["-6", "address", "add", "fd00::7/128", "dev", "lo", "nodad"]);
        run("ip", &["-6", "route", "add", "fd00:ec2::254/128", "dev", "lo"]);
        let lab = Lab::start();
        lab.kubernetes.add_pod(PodSpec::new("default", "web").ip(POD).ip("fd00::7").role("app"));
        let agent = lab.setup().flags(&[BASE, "--debug"]).start();
        let port = agent.addr().port();
        rules(&format!(
            "add table ip detour
             add chain ip detour out {{ type nat hook output priority -100; }}
             add rule ip detour out ip daddr 169.254.169.254 tcp dport 80 dnat to 127.0.0.1:{port}
             add rule ip detour out ip daddr 127.0.0.1 tcp dport 80 dnat to 127.0.0.1:{port}
             add table ip6 detour
             add chain ip6 detour out {{ type nat hook output priority -100; }}
             add rule ip6 detour out ip6 daddr fd00:ec2::254 tcp dport 80 dnat to [::1]:{port}
             "
        ));
        // The third is what --metadata-addr names here.
        for (meant, from) in [("169.254.169.254:80", POD), ("[fd00:ec2::254]:80", "fd00::7"), ("127.0.0.1:80", POD)] {
            let meant: SocketAddr = meant.parse().unwrap();
            for host in ["localhost", "10.0.0.1:8181", "node-1", &agent.addr().to_string(), "169.254.169.254"] {
                for page in OWN_PAGES {
                    let answer = Ask::get(page).host(host).send(meant, from);
                    assert_eq!(answer.status, 404, "{page} at {meant} as {host}");
                }
                assert_eq!(Ask::get(ROLES).host(host).send(meant, from).text(), "app", "{meant} as {host}");
                let token = Ask::new("PUT", "/latest/api/token").host(host).header(TTL_HEADER, "60").send(meant, from);
                assert_eq!(token.status, 200);
            }
        }
        // The same pod, without the redirect.
        assert_eq!(Ask::get("/metrics").host("localhost").send(agent.addr(), POD).status, 200);
    });
}
