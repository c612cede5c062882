//! Every flag that kube2iam has is here, with its default or with the difference that is decided.

use crate::config::table::{Default, Flag, FlagOrigin, Takes, flags};

/// kube2iam's flags: name, whether it is a boolean, default. `*`: another default here, or none that a value says.
const KUBE2IAM: [(&str, bool, &str); 33] = [
    ("api-server", false, ""),
    ("api-token", false, ""),
    ("app-port", false, "8181"),
    ("auto-discover-base-arn", true, "false"),
    ("auto-discover-default-role", true, "false"),
    ("backoff-max-elapsed-time", false, "*900ms"),
    ("backoff-max-interval", false, "1s"),
    ("base-role-arn", false, ""),
    ("cache-resync-period", false, "30m"),
    ("debug", true, "false"),
    ("default-role", false, ""),
    ("host-interface", false, "*"),
    ("host-ip", false, "*"),
    ("iam-external-id", false, "iam.amazonaws.com/external-id"),
    ("iam-role-error-ttl", false, "*"),
    ("iam-role-key", false, "iam.amazonaws.com/role"),
    ("iam-role-session-ttl", false, "*"),
    ("insecure", true, "false"),
    ("iptables", true, "false"),
    ("kubeconfig", false, ""),
    ("log-flush-frequency", false, "5s"),
    ("log-format", false, "text"),
    ("log-level", false, "info"),
    ("metadata-addr", false, "169.254.169.254"),
    ("metrics-port", false, "*"),
    ("namespace-key", false, "iam.amazonaws.com/allowed-roles"),
    ("namespace-restriction-format", false, "glob"),
    ("namespace-restrictions", true, "false"),
    ("node", false, ""),
    ("resolve-duplicate-cache-ips", true, "false"),
    ("use-regional-sts-endpoint", true, "false"),
    ("verbose", true, "false"),
    ("version", true, "false"),
];

fn flag(name: &str) -> Flag {
    flags().into_iter().find(|flag| flag.name == name).unwrap_or_else(|| panic!("no --{name}"))
}

#[test]
fn all_of_kube2iams_flags_exist_with_their_defaults() {
    for (name, boolean, default) in KUBE2IAM {
        let flag = flag(name);
        assert_eq!(matches!(flag.takes, Takes::Switch), boolean, "--{name}");
        let here = match &flag.default {
            Default::Value(value) => value.as_str(),
            Default::Described(_) | Default::Nothing => "",
        };
        assert_eq!(here, default.trim_start_matches('*'), "--{name}");
        if default.starts_with('*') {
            assert!(matches!(flag.origin, FlagOrigin::Differs(_)), "--{name} differs without a note");
        }
    }
}

#[test]
fn a_flag_is_called_new_exactly_if_kube2iam_lacks_it() {
    for flag in flags().iter().filter(|flag| flag.name != "help") {
        let old = KUBE2IAM.iter().any(|(name, ..)| *name == flag.name);
        assert_eq!(flag.origin == FlagOrigin::New, !old, "--{}", flag.name);
    }
}

#[test]
fn the_flags_of_kube2iams_chart_are_taken_as_they_are() {
    let chart = [
        "--host-interface=docker0",
        "--node=ip-10-0-0-1.eu-west-1.compute.internal",
        "--host-ip=10.0.0.1",
        "--iptables=true",
        "--app-port=8181",
        "--metrics-port=8181",
        "--auto-discover-base-arn",
        "--use-regional-sts-endpoint",
        "--verbose",
        "--auto-discover-default-role=false",
        "--namespace-restrictions=true",
        "--base-role-arn=",
        "--default-role=",
        "--log-level=info",
        "--backoff-max-elapsed-time=2s",
        "--iam-role-session-ttl=15m",
    ];
    assert_eq!(super::config(&chart).warnings, Vec::<String>::new());
}
