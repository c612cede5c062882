//! What command lines mean.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::{POD, config, config_in};
use crate::config::sts::SessionLife;
use crate::config::{
    Access, BaseSource, DefaultRoleSource, Listen, MetricsListener, OnExit, SharedAddress, SocketSetting,
};
use crate::logic::base::url::Authority;
use crate::logic::operator::log_line::LogFormat;
use crate::logic::policy::pattern::Format;
use crate::logic::policy::{AccountRoles, DefaultObeys, Enforcement, TokenRequirement};
use crate::logic::redirect::interfaces::InterfaceRule;
use crate::logic::redirect::{OtherPorts, RedirectSpec};
use crate::logic::sessions::cache::RenewAt;
use crate::logic::sessions::session::{NameAnnotation, NameTemplate, TagReach, Tags};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn authority(text: &str) -> Authority {
    Authority::parse(text, 80).unwrap()
}

#[test]
fn without_flags_everything_has_a_meaning() {
    let config = config(&[]);
    assert_eq!(config.kubernetes.access, Access::InCluster { host: "10.96.0.1".to_owned(), port: 443 });
    assert_eq!(config.kubernetes.keys.role, "iam.amazonaws.com/role");
    assert_eq!(config.kubernetes.keys.external_id, "iam.amazonaws.com/external-id");
    assert_eq!(config.kubernetes.keys.allowed_roles, "iam.amazonaws.com/allowed-roles");
    assert_eq!((config.kubernetes.node, config.kubernetes.insecure), (None, false));
    assert_eq!((config.roles.base, config.roles.default_role), (BaseSource::None, DefaultRoleSource::None));
    assert_eq!((config.roles.restrictions, config.roles.enforcement), (None, Enforcement::Enforce));
    assert_eq!(config.sts.life, SessionLife { asked_s: 3_600, renew: RenewAt::Half });
    assert_eq!((config.sts.error_ttl, config.sts.tags), (None, Tags::None));
    assert_eq!((config.sts.calls_per_second, config.sts.prefetch), (10.0, false));
    assert_eq!(config.metadata.proxied, config.metadata.own);
    assert_eq!(config.metadata.tokens, TokenRequirement::Optional);
    assert_eq!(config.listen.app, Listen { address: None, port: 8181 });
    assert_eq!(
        (config.listen.metrics, config.listen.shared_address),
        (MetricsListener::OnAppPort, SharedAddress::Refuse)
    );
    assert_eq!(config.listen.wait_for_pod, Duration::from_millis(900));
    assert_eq!((config.redirect, config.host), (None, None));
    assert_eq!(config.operation.control_socket, SocketSetting::Preset(PathBuf::from("/run/kube2iam/control.sock")));
    assert_eq!((config.log.level, config.log.format), (LevelFilter::Info, LogFormat::Text));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_way_to_the_api_server() {
    let file = Access::Kubeconfig(PathBuf::from("/k"));
    let in_pod = Access::InCluster { host: "10.96.0.1".to_owned(), port: 443 };
    let server = |url: &str| Access::ApiServer {
        url: url.to_owned(),
        token: crate::logic::base::secret::Secret::new("t".to_owned()),
    };
    for (args, access, insecure, warnings) in [
        (["--kubeconfig=/k"].as_slice(), file.clone(), false, 0),
        (&["--kubeconfig=/k", "--insecure"], file.clone(), true, 0),
        (&["--kubeconfig=/k", "--api-server=https://a", "--api-token=t"], file, false, 1),
        (&["--api-server=https://a:6443/", "--api-token=t"], server("https://a:6443"), false, 0),
        (&["--api-server=https://a/k8s/c-1", "--api-token=t"], server("https://a/k8s/c-1"), false, 0),
        (&["--api-server=[::1]:1", "--api-token=t", "--insecure"], server("https://[::1]:1"), true, 0),
        (&["--api-server=localhost:8080", "--api-token=t"], server("http://localhost:8080"), false, 1),
        (&["--api-server=https://a"], in_pod.clone(), false, 1),
        (&["--api-token=t"], in_pod.clone(), false, 1),
        (&["--insecure"], in_pod, false, 1),
    ] {
        let config = config(args);
        assert_eq!((config.kubernetes.access, config.kubernetes.insecure), (access, insecure), "{args:?}");
        assert_eq!(config.warnings.len(), warnings, "{args:?}: {:?}", config.warnings);
    }
}

#[test]
fn outside_a_pod_no_variables_are_needed() {
    config_in(&[], &["--kubeconfig=/k"]);
    config_in(&[], &["--api-server=https://a", "--api-token=t"]);
}

#[test]
fn the_token_is_never_shown() {
    let config = config(&["--api-server=http://a", "--api-token=s3cret", "--insecure"]);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn base_and_default_role() {
    let base = |text: &str| BaseSource::Given(crate::logic::policy::arn::BaseArn::parse(text).unwrap());
    let given = |role: &str| DefaultRoleSource::Given(role.to_owned());
    let arn = "arn:aws:iam::123456789012:role/x";
    let base_arg = "--base-role-arn=arn:aws:iam::123456789012:role";
    for (args, source, role, warnings) in [
        ([base_arg].as_slice(), base("arn:aws:iam::123456789012:role/"), DefaultRoleSource::None, 0),
        (&["--auto-discover-base-arn"], BaseSource::Discover, DefaultRoleSource::None, 0),
        (&["--auto-discover-default-role"], BaseSource::Discover, DefaultRoleSource::Discover, 0),
        (
            &["--auto-discover-default-role", "--auto-discover-base-arn"],
            BaseSource::Discover,
            DefaultRoleSource::Discover,
            0,
        ),
        (&["--auto-discover-default-role", base_arg], BaseSource::Discover, DefaultRoleSource::Discover, 1),
        (&["--default-role=team/x", base_arg], base("arn:aws:iam::123456789012:role/"), given("team/x"), 0),
        (&["--default-role=x", "--auto-discover-base-arn"], BaseSource::Discover, given("x"), 0),
        (&["--default-role=arn:aws:iam::123456789012:role/x"], BaseSource::None, given(arn), 0),
        (&["--default-role=x"], BaseSource::None, given("x"), 1),
    ] {
        let config = config(args);
        assert_eq!((config.roles.base, config.roles.default_role), (source, role), "{args:?}");
        assert_eq!(config.warnings.len(), warnings, "{args:?}: {:?}", config.warnings);
    }
}

#[test]
fn who_may_have_a_role() {
    let restrictions = |args: &[&str]| config(args).roles.restrictions;
    assert_eq!(restrictions(&["--namespace-restriction-format=regexp"]), None);
    assert_eq!(restrictions(&["--namespace-restrictions"]), Some(Format::Glob));
    for (word, format) in
        [("GLOB", Format::Glob), ("RegExp", Format::Regexp), ("regexp-unanchored", Format::RegexpUnanchored)]
    {
        let flag = format!("--namespace-restriction-format={word}");
        assert_eq!(restrictions(&["--namespace-restrictions", &flag]), Some(format));
    }
    let roles = config(&[
        "--policy-mode=audit",
        "--default-role-restricted",
        "--service-account-roles",
        "--allowed-accounts=123456789012, 210987654321",
        "--allowed-accounts=000000000000",
    ])
    .roles;
    assert_eq!(
        (roles.enforcement, roles.default_role_obeys, roles.account_roles),
        (Enforcement::Audit, DefaultObeys::Namespaces, AccountRoles::Read)
    );
    assert_eq!(roles.allowed_accounts, ["123456789012", "210987654321", "000000000000"]);
}

#[test]
fn a_session_lasts_twice_its_ttl() {
    for (ttl, asked_s, warnings) in
        [("7m30s", 900, 0), ("15m", 1_800, 0), ("30m", 3_600, 0), ("31m", 3_720, 1), ("6h", 43_200, 1)]
    {
        let config = config(&["--iam-role-session-ttl", ttl]);
        let RenewAt::Age(age) = config.sts.life.renew else { panic!("{ttl}") };
        assert_eq!((config.sts.life.asked_s, age * 2), (asked_s, seconds(asked_s.into())), "{ttl}");
        assert_eq!(config.warnings.len(), warnings, "{:?}", config.warnings);
    }
}

#[test]
fn what_sessions_carry_and_cost() {
    let memory = |ttl: &str| config(&["--iam-role-error-ttl", ttl]).sts.error_ttl;
    assert_eq!((memory("0"), memory("0s")), (Some(Duration::ZERO), Some(Duration::ZERO)));
    assert_eq!(memory("1m"), Some(seconds(60)));
    let sts = config(&[
        "--node=n1",
        "--session-name={namespace}.{node}",
        "--session-tags",
        "--transitive-tags",
        "--cluster-name=blue",
        "--assume-role-arn=arn:aws:iam::123456789012:role/hop",
        "--sts-qps=0.5",
    ])
    .sts;
    assert_eq!(sts.session_name, NameTemplate::parse("{namespace}.{node}").unwrap());
    assert_eq!(sts.tags, Tags::Pod { cluster: Some("blue".to_owned()), reach: TagReach::Chain });
    assert_eq!(sts.assume_first.unwrap().as_str(), "arn:aws:iam::123456789012:role/hop");
    assert_eq!((sts.calls_per_second, sts.prefetch), (0.5, true));
    let names = |args: &[&str]| config(args).sts.name_annotation;
    assert_eq!(names(&[]), NameAnnotation::Ignored);
    assert_eq!(names(&["--session-name-annotation"]), NameAnnotation::Read);
    assert_eq!(names(&["--session-name-annotation=false"]), NameAnnotation::Ignored);
}

#[test]
fn what_has_no_effect_alone_is_told() {
    for (alone, other) in [
        ("--prefetch", "--node=n"),
        ("--policy-mode=audit", "--namespace-restrictions"),
        ("--default-role-restricted", "--namespace-restrictions"),
        ("--cluster-name=blue", "--session-tags"),
    ] {
        let (flag, needed) = (alone.replace("=blue", ""), other.replace("=n", ""));
        assert_eq!(config(&[alone]).warnings, [format!("{flag} has no effect without {needed}")]);
        assert!(config(&[alone, other]).warnings.is_empty(), "{alone} {other}");
    }
}

#[test]
fn two_addresses_of_the_metadata_service() {
    let endpoint = |value| ("AWS_EC2_METADATA_SERVICE_ENDPOINT", value);
    let mode = |value| ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", value);
    for (variables, own) in [
        ([].as_slice(), "imds:81"),
        (&[mode("IPv4")], "imds:81"),
        (&[mode("ipv6")], "[fd00:ec2::254]:80"),
        (&[endpoint("http://127.0.0.1:9/")], "127.0.0.1:9"),
        (&[endpoint("http://[::1]:9"), mode("IPv6")], "[::1]:9"),
    ] {
        let config = config_in(&[variables, POD].concat(), &["--metadata-addr=imds:81"]);
        assert_eq!((config.metadata.proxied, config.metadata.own), (authority("imds:81"), authority(own)), "{own}");
    }
    assert_eq!(config(&["--metadata-addr=127.0.0.1:9"]).metadata.own, authority("127.0.0.1:9"));
}

#[test]
fn what_pods_may_read_of_the_metadata() {
    let metadata =
        config(&["--imds-v2=required", "--metadata-allow=user-data,fws", "--metadata-deny=^/latest/TAGS/{1,2}"])
            .metadata;
    assert_eq!(
        (metadata.tokens, metadata.allowed.as_slice()),
        (TokenRequirement::Required, ["user-data", "fws"].map(str::to_owned).as_slice())
    );
    assert!(metadata.denied[0].is_match("/latest/tags/x"));
}

#[test]
fn a_request_waits_as_long_as_said_and_never_for_ever() {
    for (given, wait) in
        [("0", seconds(10)), ("2s", seconds(2)), ("1m", seconds(60)), ("1ms", Duration::from_millis(1))]
    {
        assert_eq!(config(&["--backoff-max-elapsed-time", given]).listen.wait_for_pod, wait, "{given}");
    }
}

#[test]
fn where_metrics_are() {
    let own = |address: Option<&str>| {
        MetricsListener::Own(Listen { address: address.map(|text| text.parse().unwrap()), port: 9 })
    };
    for (args, metrics) in [
        (["--app-port=9"].as_slice(), MetricsListener::OnAppPort),
        (&["--app-port=9", "--metrics-port=9"], MetricsListener::OnAppPort),
        (&["--metrics-port=9"], own(None)),
        (&["--metrics-port=9", "--bind-address=10.0.0.1"], own(None)),
        (&["--metrics-port=9", "--metrics-bind-address=::1"], own(Some("::1"))),
    ] {
        assert_eq!(config(args).listen.metrics, metrics, "{args:?}");
    }
    assert_eq!(config(&["--bind-address=10.0.0.1"]).listen.app.address, "10.0.0.1".parse().ok());
    for (args, served) in [
        (&[][..], false),
        (&["--container-credentials"], true),
        (&["--container-credentials", "--bind-address=::"], true),
        (&["--container-credentials", "--bind-address=0.0.0.0"], true),
    ] {
        assert_eq!(config(args).listen.container_credentials, served, "{args:?}");
    }
    assert_eq!(config(&["--resolve-duplicate-cache-ips"]).listen.shared_address, SharedAddress::AskApiServer);
}

#[test]
fn how_packets_are_redirected() {
    let redirect = |args: &[&str]| config(&[&["--iptables"], args].concat()).redirect.unwrap();
    assert_eq!(config(&["--host-interface=docker0", "--host-ip=10.0.0.1"]).redirect, None);
    assert_eq!(config(&["--host-ip=10.0.0.1"]).host, "10.0.0.1".parse().ok());
    let standard = redirect(&["--host-interface="]);
    assert_eq!((standard.on_exit, standard.spec), (OnExit::Keep, RedirectSpec::new(8181)));
    for list in ["docker0", "cali+,eni+", "+", "!eth0", "! ens+"] {
        let interfaces = redirect(&["--host-interface", list]).spec.interfaces;
        assert_eq!(Ok(interfaces), InterfaceRule::parse(&[list]), "{list}");
    }
    let all = ["--app-port=9", "--host-ip=10.0.0.1", "--host-ip6=fd00::1", "--metadata-drop=false"];
    let both = redirect(&all).spec;
    assert_eq!((both.host_ip, both.host_ip6), ("10.0.0.1".parse().ok(), "fd00::1".parse().ok()));
    assert_eq!((both.app_port, both.other_ports), (9, OtherPorts::Pass));
    assert_eq!(redirect(&["--redirect-on-exit=remove"]).on_exit, OnExit::Remove);
    let v6_only = redirect(&["--host-ip=fd00::1"]).spec;
    assert_eq!((v6_only.host_ip, v6_only.host_ip6), (None, "fd00::1".parse().ok()));
}

#[test]
fn pods_are_sent_to_where_the_agent_listens() {
    let target = |args: &[&str]| {
        let spec = config(&[&["--iptables"], args].concat()).redirect.unwrap().spec;
        (spec.host_ip.map(|ip| ip.to_string()), spec.host_ip6.map(|ip| ip.to_string()))
    };
    let (v4, v6) = (Some("10.0.0.1".to_owned()), Some("fd00::1".to_owned()));
    assert_eq!(target(&["--bind-address=10.0.0.1"]), (v4.clone(), None));
    assert_eq!(target(&["--bind-address=fd00::1", "--host-ip=10.0.0.1"]), (v4, v6));
    assert_eq!(target(&["--bind-address=::"]), (None, None));
    let local = ["--bind-address=127.0.0.1", "--host-ip=127.0.0.1"];
    assert_eq!(target(&local).0.as_deref(), Some("127.0.0.1"), "the operator has set route_localnet");
}

#[test]
fn a_third_metadata_address_is_redirected_too() {
    for (given, addresses, warnings) in [
        ("169.254.169.254", 2, 0),
        ("fd00:ec2::254", 2, 0),
        ("127.0.0.1:9000", 2, 0),
        ("10.1.2.3", 3, 0),
        ("10.1.2.3:8080", 2, 1),
        ("imds.internal", 2, 1),
    ] {
        let config = config(&["--iptables", "--metadata-addr", given]);
        assert_eq!(config.redirect.unwrap().spec.metadata.all().len(), addresses, "{given}");
        assert_eq!(config.warnings.len(), warnings, "{given}: {:?}", config.warnings);
    }
}

#[test]
fn what_happens_beside() {
    let operation =
        config(&["--node=n", "--remove-taint=kube2iam/starting", "--events", "--state-dir=/run/k"]).operation;
    assert_eq!(operation.remove_taint.as_deref(), Some("kube2iam/starting"));
    assert_eq!((operation.events, operation.state_dir), (true, Some(PathBuf::from("/run/k"))));
    let socket = |value: &str| config(&["--control-socket", value]).operation.control_socket;
    assert_eq!(socket(""), SocketSetting::Off);
    assert_eq!(socket("/run/kube2iam/control.sock"), SocketSetting::Asked(PathBuf::from("/run/kube2iam/control.sock")));
}

#[test]
fn logruss_levels_are_known() {
    for (word, level) in [
        ("panic", LevelFilter::Error),
        ("FATAL", LevelFilter::Error),
        ("error", LevelFilter::Error),
        ("warn", LevelFilter::Warn),
        ("Warning", LevelFilter::Warn),
        ("info", LevelFilter::Info),
        ("debug", LevelFilter::Debug),
        ("trace", LevelFilter::Trace),
    ] {
        assert_eq!(config(&["--log-level", word]).log.level, level, "{word}");
        assert_eq!(config(&["--log-level", word, "--verbose"]).log.level, LevelFilter::Debug);
    }
    for (word, format) in
        [("json", LogFormat::Json), ("JSON", LogFormat::Json), ("text", LogFormat::Text), ("x", LogFormat::Text)]
    {
        assert_eq!(config(&["--log-format", word]).log.format, format, "{word}");
    }
}
