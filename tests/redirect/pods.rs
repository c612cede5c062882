//! What programs in pods get through the redirect from the real agent.

use std::process::Command;
use std::time::Duration;

use crate::lab::{METADATA_V4, METADATA_V6, ready};
use crate::python::Python;
use crate::site::{PORT, ROLE_LIST, Site};
use crate::standins::client::Ask;
use crate::standins::process::run_well;

/// An SDK that starts cold on a busy machine.
const SDK_LIMIT: Duration = Duration::from_secs(60);

fn curl(site: &Site, number: usize, url: &str) -> String {
    let pod = format!("pod{number}");
    site.exec(&pod, "curl", &["-sS", "--fail", "--max-time", "10", "--noproxy", "*", url])
}

#[test]
fn curl_gets_each_pod_its_own_role_and_credentials() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1", "cali2"]);
    let _agent = site.agent(&[]);
    for number in [1, 2] {
        for service in ["http://169.254.169.254", "http://[fd00:ec2::254]"] {
            let role = curl(&site, number, &format!("{service}{ROLE_LIST}"));
            assert_eq!(role, format!("app-{number}"), "{service}");
            let document = curl(&site, number, &format!("{service}{ROLE_LIST}{role}"));
            let grant = site.grant(number);
            assert!(document.contains(&grant.secret_access_key), "pod{number} at {service}: {document}");
        }
    }
    assert_eq!(site.page("/healthz").json()["hostIP"], "10.77.0.2", "found without --host-ip");
}

#[test]
fn boto3_finds_each_pods_credentials_with_no_variable_set() {
    let (true, Some(python)) = (ready(), Python::prepare()) else { return };
    let site = Site::new(&["cali1", "cali2"]);
    let agent = site.agent(&[]);
    let boto3 = |number: usize, prepare: fn(&mut Command)| {
        let mut program = python.command("python");
        program.args(["-c", CREDENTIALS]);
        prepare(&mut program);
        let found = site.inside(&format!("pod{number}"), || run_well(&mut program, SDK_LIMIT));
        found.unwrap_or_else(|cause| panic!("{cause}\nthe agent's log:\n{}", agent.log().join("\n")))
    };
    let found = |number: usize| format!("iam-role {}\n", site.grant(number).access_key_id);
    for number in [1, 2] {
        assert_eq!(boto3(number, |_| {}), found(number), "pod{number}");
    }
    let over_v6 = |program: &mut Command| {
        program.env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6");
    };
    assert_eq!(boto3(1, over_v6), found(1), "over IPv6");
}

/// Which provider had credentials, and which ones.
const CREDENTIALS: &str =
    "import boto3; found = boto3.Session().get_credentials(); print(found.method, found.access_key)";

#[test]
fn whoever_was_redirected_sees_no_page_of_the_agent_whatever_the_host_says() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let _agent = site.agent(&["--debug", "--metadata-addr=10.99.0.1"]);
    let node = format!("10.77.0.2:{PORT}");
    for page in ["/metrics", "/healthz", "/readyz", "/debug/store"] {
        for host in [node.as_str(), "localhost", "kube2iam.kube-system.svc", "169.254.169.254", ""] {
            for metadata in [METADATA_V4, METADATA_V6, "10.99.0.1:80"] {
                let answer = site.send(1, metadata, &Ask::get(page).host(host));
                assert_eq!(answer.status, 404, "{page} at {metadata} with the host `{host}`: {}", answer.text());
            }
        }
        assert_eq!(site.page(page).status, 200, "{page} for those on the node");
        assert_eq!(
            site.send(1, &node, &Ask::get(page).host(&node)).status,
            200,
            "{page} for a pod that dials the node"
        );
    }
}
