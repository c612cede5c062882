//! Whatever a session carries is part of what is signed: escaped once too often or too little, moto would refuse it.

use crate::Site;
use crate::clients::LIMIT;
use crate::counter::{Counter, Hire};
use crate::standins::agent::Agent;
use crate::standins::client;
use crate::standins::kubernetes::PodSpec;
use crate::standins::process::run_well;

/// An agent of the site.
fn agent(site: &Site, flags: &[&str]) -> Agent {
    site.setup(&site.moto.url()).flags(flags).start()
}

/// As whom moto knows the credentials that the pod at `address` gets.
fn who(site: &Site, agent: &Agent, address: &str) -> String {
    let path = "/latest/meta-data/iam/security-credentials/app";
    let answer = client::get(agent.addr(), address, path);
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), agent.log().join("\n"));
    let document = answer.json();
    let mut command = site.kits.python.command("aws");
    command.args(["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]);
    command.env("AWS_ENDPOINT_URL", site.moto.url()).env("AWS_DEFAULT_REGION", "eu-west-1");
    for (variable, key) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "Token"),
    ] {
        command.env(variable, document[key].as_str().expect("a string"));
    }
    run_well(&mut command, LIMIT).unwrap_or_else(|cause| panic!("{cause}")).trim().to_owned()
}

#[test]
fn names_ids_tags_and_policies_are_signed_as_they_are_sent() {
    let Some(site) = Site::open() else { return };
    let policy = r#"{ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "arn:aws:s3:::a b/é+~*'()%/*" } ] }"#;
    site.lab.kubernetes.add_pod(
        PodSpec::new("default", "carrier")
            .ip("127.0.0.2")
            .role("app")
            .annotation("iam.amazonaws.com/session-name", "alice@shop=1")
            .annotation("iam.amazonaws.com/external-id", "a+b=c,d.e@f:g/h-i")
            .annotation("iam.amazonaws.com/policy", policy)
            .annotation("iam.amazonaws.com/policy-arns", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
    );
    let agent = agent(
        &site,
        &["--session-tags", "--session-name-annotation", "--transitive-tags", "--cluster-name=blue/green 1=2+3@4"],
    );
    let arn = who(&site, &agent, "127.0.0.2");
    assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/app/alice@shop=1");
    site.assert_log_is_clean(&agent);
}

#[test]
fn a_role_on_the_way_signs_for_the_pods_roles() {
    let Some(site) = Site::open() else { return };
    site.lab.kubernetes.add_pod(PodSpec::new("default", "a").ip("127.0.0.2").role("app"));
    let counter = Counter::open(&site.moto, None);
    let agent = site.setup(&counter.url()).flags(&["--assume-role-arn=arn:aws:iam::123456789012:role/hop"]).start();
    assert_eq!(who(&site, &agent, "127.0.0.2"), "arn:aws:sts::123456789012:assumed-role/app/kube2iam-app");
    let of = |name: &str| -> Vec<Hire> {
        let role_arn = format!("arn:aws:iam::123456789012:role/{name}");
        counter.hires().into_iter().filter(|hire| hire.role_arn == role_arn).collect()
    };
    let (hop, app) = (of("hop"), of("app"));
    assert!(!hop.is_empty() && !app.is_empty(), "{:?}", counter.hires());
    assert!(hop.iter().all(|hire| hire.by == site.moto.access_key_id), "the node's own key signs for the hop: {hop:?}");
    let keys_of_hop: Vec<&str> = hop.iter().map(|hire| hire.key.as_str()).collect();
    assert!(app.iter().all(|hire| keys_of_hop.contains(&hire.by.as_str())), "the hop's key signs for pods: {app:?}");
    agent.wait_for_log("role `arn:aws:iam::123456789012:role/hop`, assumed by environment variables");
    site.assert_log_is_clean(&agent);
}
