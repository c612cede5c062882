//! `kube2iam doctor` with and without trouble.

use super::standins::agent::Outcome;
use super::standins::exchange::Reply;
use super::standins::kubernetes::{Kind, On, Refusal};
use super::standins::metadata::{MetadataFault, Version};
use super::standins::sts::StsFault;
use super::standins::wire::Wire;
use super::standins::{Lab, Times};
use super::{BASE, Site, flag, free_port_flag, socket};

/// Runs the doctor among the stand-ins.
fn examine(lab: &Lab, flags: &[&str]) -> Outcome {
    let flags: Vec<&str> = flags.iter().copied().filter(|flag| !flag.is_empty()).collect();
    lab.configure(super::Setup::of(super::test_binary()).flags(&["doctor"]))
        .flags(&[&free_port_flag()])
        .flags(&flags)
        .run()
}

/// The line of a check.
fn line<'a>(outcome: &'a Outcome, check: &str) -> &'a str {
    let found = outcome.stdout.lines().find(|line| line.split("  ").next() == Some(check));
    found.unwrap_or_else(|| panic!("no line `{check}` in\n{}{}", outcome.stdout, outcome.stderr))
}

#[track_caller]
fn assert_line(outcome: &Outcome, check: &str, mark: &str, part: &str) {
    let line = line(outcome, check);
    let (_, rest) = line.split_at(21);
    assert!(rest.starts_with(&format!("{mark:<4}  ")) && rest.contains(part), "{line}");
}

#[test]
fn all_is_well_among_well_behaved_stand_ins() {
    let lab = Lab::start();
    let outcome = examine(&lab, &[BASE, "--role=app"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.stdout);
    for (check, mark, part) in [
        ("flags", "warn", "--api-server without TLS"),
        ("API server", "ok", "answers at http://127.0.0.1:"),
        ("list pods", "ok", "allowed"),
        ("watch pods", "ok", "allowed"),
        ("list namespaces", "ok", "allowed"),
        ("watch namespaces", "ok", "allowed"),
        ("metadata service", "ok", "with session tokens (v2), and without (v1)"),
        ("region", "ok", "eu-west-1"),
        ("STS", "ok", "answers at http://127.0.0.1:"),
        ("clock", "ok", ""),
        ("node credentials", "ok", "environment variables"),
        ("caller identity", "ok", "arn:aws:sts::123456789012:assumed-role/node-role/i-1234567890abcdef0"),
        ("role app", "ok", "can be assumed"),
        ("agent", "ok", ""),
        ("port", "ok", "is free"),
    ] {
        assert_line(&outcome, check, mark, part);
    }
    line(&outcome, "redirect");
    let seen = lab.kubernetes.seen();
    assert!(seen[0].target.contains("limit=1"), "{}", seen[0].target);
    let watches: Vec<_> = seen.iter().filter(|request| request.target.contains("watch=1")).collect();
    assert!(watches.len() == 2 && watches.iter().all(|watch| watch.target.contains("timeoutSeconds=1")), "{watches:?}");
    for secret in lab.secrets() {
        assert!(!outcome.stdout.contains(&secret));
    }
}

/// One row a trouble: what is broken, which line says so and how.
#[test]
fn what_keeps_credentials_from_pods_is_a_failure_with_a_remedy() {
    let refusal = |code| Refusal::Status { code, retry_after_s: None };
    type Break = Box<dyn Fn(&Lab)>;
    let rows: Vec<(Break, &[&str], &str, &str, &str)> = vec![
        (
            Box::new(move |lab| lab.kubernetes.refuse(On::List(Kind::Namespace), refusal(403), Times::Always)),
            &[],
            "list namespaces",
            "FAIL",
            "let the agent's ClusterRole `list` `namespaces`",
        ),
        (
            Box::new(move |lab| lab.kubernetes.refuse(On::Watch(Kind::Pod), refusal(403), Times::Always)),
            &[],
            "watch pods",
            "FAIL",
            "let the agent's ClusterRole `watch` `pods`",
        ),
        (
            Box::new(move |lab| lab.kubernetes.refuse(On::List(Kind::Namespace), refusal(429), Times::Always)),
            &[],
            "list namespaces",
            "FAIL",
            "with 429; it is busy: try again later",
        ),
        (
            Box::new(move |lab| lab.kubernetes.refuse(On::Get(Kind::Node), refusal(403), Times::Always)),
            &["--node=node-1", "--remove-taint=wait"],
            "get node",
            "FAIL",
            "let the agent's ClusterRole `get` `nodes`",
        ),
        (
            Box::new(move |lab| lab.kubernetes.refuse(On::Patch(Kind::Node), refusal(403), Times::Always)),
            &["--node=node-1", "--remove-taint=wait"],
            "patch node",
            "FAIL",
            "let the agent's ClusterRole `patch` `nodes`",
        ),
        (
            Box::new(|lab| lab.kubernetes.require_token("another")),
            &[],
            "API server",
            "FAIL",
            "401 Unauthorized: Unauthorized; it doesn't know the agent's token",
        ),
        (Box::new(|lab| lab.kubernetes.wire().go_down()), &[], "API server", "FAIL", "Connection refused"),
        (Box::new(|lab| lab.sts.wire().go_down()), &[], "STS", "FAIL", "failed to reach `http://127.0.0.1:"),
    ];
    for (break_it, flags, check, mark, part) in rows {
        let lab = Lab::start();
        lab.kubernetes.add_node("node-1", &[("wait", "NoSchedule")]);
        break_it(&lab);
        let outcome = examine(&lab, &[&[BASE], flags].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""), "{check}: {}", outcome.stdout);
        assert_line(&outcome, check, mark, part);
    }
}

/// A list that is refused says nothing about the watch.
#[test]
fn each_right_is_tried_whatever_came_of_the_others() {
    let refusal = Refusal::Status { code: 403, retry_after_s: None };
    let lab = Lab::start();
    lab.kubernetes.refuse(On::List(Kind::Pod), refusal, Times::Always);
    let outcome = examine(&lab, &[BASE]);
    assert_line(&outcome, "list pods", "FAIL", "`list` `pods`");
    assert_line(&outcome, "watch pods", "ok", "allowed");
    lab.kubernetes.refuse(On::Watch(Kind::Pod), refusal, Times::Always);
    assert_line(&examine(&lab, &[BASE]), "watch pods", "FAIL", "let the agent's ClusterRole `watch` `pods`");
}

#[test]
fn what_remove_taint_needs_is_tried_and_nothing_is_changed() {
    let lab = Lab::start();
    lab.kubernetes.add_node("node-1", &[("wait", "NoSchedule")]);
    let outcome = examine(&lab, &[BASE, "--node=node-1", "--remove-taint=wait"]);
    assert_line(&outcome, "get node", "ok", "allowed");
    assert_line(&outcome, "patch node", "ok", "allowed");
    assert_eq!(lab.kubernetes.taints("node-1"), ["wait"]);
    let patch = lab.kubernetes.seen().into_iter().find(|seen| seen.on == Some(On::Patch(Kind::Node)));
    assert!(patch.is_some_and(|patch| patch.target.ends_with("?dryRun=All")));
    assert!(!examine(&lab, &[BASE, "--node=node-1"]).stdout.contains("get node"), "nothing needs it");
}

/// An STS that takes no signature and lives in another time.
#[test]
fn a_clock_that_is_off_and_keys_that_nobody_knows_are_named() {
    let lab = Lab::start();
    let sts = Wire::start("sts", |exchange| {
        exchange.answer(Reply::new(403, "text/xml", STRANGER).with("Date", "Sun, 06 Nov 1994 08:49:37 GMT"));
    });
    let outcome = lab
        .configure(super::Setup::of(super::test_binary()).flags(&["doctor"]))
        .set("AWS_ENDPOINT_URL_STS", &format!("http://{}", sts.address()))
        .flags(&[BASE, &free_port_flag(), "--role=app"])
        .run();
    assert_line(&outcome, "STS", "ok", "answers");
    assert_line(&outcome, "clock", "warn", " s ahead of STS; signatures are refused beyond 300 s");
    assert_line(&outcome, "caller identity", "FAIL", "InvalidClientTokenId");
    assert_line(&outcome, "role app", "FAIL", "see the node's own credentials above");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
}

const STRANGER: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
    <Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error>\
    <RequestId>r-1</RequestId></ErrorResponse>";

#[test]
fn events_that_may_not_be_written_keep_no_credentials_from_pods() {
    let lab = Lab::start();
    let outcome = examine(&lab, &[BASE, "--events"]);
    assert_line(&outcome, "write events", "ok", "allowed");
    assert_line(&outcome, "update events", "ok", "allowed");
    assert!(lab.kubernetes.events().is_empty(), "it was only a trial");
    lab.kubernetes.refuse(On::Event, Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
    let outcome = examine(&lab, &[BASE, "--events"]);
    assert_line(&outcome, "write events", "warn", "let the agent's ClusterRole `create` `events`");
    assert_line(&outcome, "update events", "warn", "let the agent's ClusterRole `patch` `events`");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
}

#[test]
fn a_role_that_is_denied_is_explained() {
    let lab = Lab::start();
    lab.sts.fault(Some("arn:aws:iam::123456789012:role/denied"), StsFault::ACCESS_DENIED, Times::Always);
    let outcome = examine(&lab, &[BASE, "--role=denied", "--role=app", "--external-id=x-1"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert_line(&outcome, "role denied", "FAIL", "AccessDenied");
    assert_line(
        &outcome,
        "role denied",
        "FAIL",
        "either the trust policy of `arn:aws:iam::123456789012:role/denied` must name \
         `arn:aws:iam::123456789012:role/node-role` as principal, or the policies of",
    );
    assert_line(&outcome, "role app", "ok", "can be assumed");
    let call = lab.sts.calls().into_iter().find(|call| call.field("RoleArn").ends_with("/app")).unwrap();
    assert_eq!((call.field("ExternalId"), call.field("DurationSeconds")), ("x-1", "900"));
}

#[test]
fn the_metadata_service_matters_as_far_as_the_agent_needs_it() {
    let lab = Lab::start();
    lab.metadata.set_version(Version::SecondOnly);
    assert_line(&examine(&lab, &[BASE]), "metadata service", "ok", "session tokens only (v2)");
    lab.metadata.set_version(Version::FirstOnly(403));
    assert_line(&examine(&lab, &[BASE]), "metadata service", "warn", "v1 only");
    lab.metadata.wire().go_down();
    let outcome = examine(&lab, &[BASE]);
    assert_line(&outcome, "metadata service", "warn", "pods get 502");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    let outcome = examine(&lab, &["--auto-discover-base-arn"]);
    assert_line(&outcome, "metadata service", "FAIL", "the agent needs it");
    assert_line(&outcome, "roles", "FAIL", "give --base-role-arn instead");
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn missing_node_credentials_are_a_failure() {
    let lab = Lab::start();
    lab.metadata.set_role(None);
    lab.metadata.fault("/latest/meta-data/instance-id", MetadataFault::Status(404), Times::Always);
    let outcome = lab
        .configure(super::Setup::of(super::test_binary()).flags(&["doctor"]))
        .unset("AWS_ACCESS_KEY_ID")
        .unset("AWS_SECRET_ACCESS_KEY")
        .flags(&[BASE, &free_port_flag()])
        .run();
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert_line(&outcome, "node credentials", "FAIL", "NoInstanceRole: the instance has no role");
}

#[test]
fn beside_a_running_agent_its_port_is_no_failure() {
    let site = Site::open(Lab::start(), &[]);
    let port = format!("--app-port={}", site.agent.addr().port());
    let outcome = examine(&site.lab, &[BASE, &flag(&site.socket), &port]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    assert_line(&outcome, "agent", "ok", "version 0.1.0 runs and knows 0 pods");
    assert_line(&outcome, "port", "ok", "is held by an agent");
    let socket_flag = format!("--socket={}", site.socket.display());
    let outcome = examine(&site.lab, &[BASE, &socket_flag, &port]);
    assert_line(&outcome, "agent", "ok", "version 0.1.0 runs");
    let other = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = format!("--app-port={}", other.local_addr().unwrap().port());
    let outcome = examine(&site.lab, &[BASE, &flag(&socket()), &port]);
    assert_line(&outcome, "port", "FAIL", "is held by");
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_named_with_its_flag() {
    let lab = Lab::start();
    let flags = [BASE, "--kubeconfig=/nowhere/config"];
    let outcome = examine(&lab, &flags);
    let complaint = "failed to use `--kubeconfig=/nowhere/config`: failed to read";
    assert_line(&outcome, "API server", "FAIL", complaint);
    let outcome = lab.setup().flags(&flags).flags(&[&free_port_flag()]).run();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.lines().last().is_some_and(|line| line.contains(complaint)), "{}", outcome.stderr);
}

#[test]
fn wrong_flags_end_as_the_agent_would() {
    let lab = Lab::start();
    let outcome = examine(&lab, &["--imds-v2=maybe"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(64), ""));
    assert_eq!(outcome.stderr, "kube2iam: invalid value `maybe` for `--imds-v2`: allowed is optional or required\n");
}

#[test]
fn without_an_api_server_the_rest_is_checked() {
    let lab = Lab::start();
    let metadata = lab.metadata.address();
    let outcome = super::Setup::of(super::test_binary())
        .flags(&["doctor", BASE, &format!("--metadata-addr={metadata}"), "--control-socket=", &free_port_flag()])
        .set("AWS_ENDPOINT_URL_STS", &lab.sts.url())
        .set("AWS_REGION", "eu-west-1")
        .set("AWS_ACCESS_KEY_ID", "AKIASTANDINNODE00001")
        .set("AWS_SECRET_ACCESS_KEY", "secret")
        .run();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_line(&outcome, "API server", "FAIL", "KUBERNETES_SERVICE_HOST");
    assert_line(&outcome, "metadata service", "ok", "");
    assert_line(&outcome, "STS", "ok", "answers at");
    assert_line(&outcome, "port", "ok", "is free");
    let outcome =
        super::Setup::of(super::test_binary()).flags(&["doctor", "--node=n", "--json", "--control-socket="]).run();
    let shown: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (outcome.code, &shown["worst"], &shown["checks"][1]["name"]),
        (Some(1), &"fail".into(), &"API server".into())
    );
    assert_eq!(shown["checks"][1]["mark"], "fail");
}
