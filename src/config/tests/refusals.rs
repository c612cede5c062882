//! Every refusal, word by word: the flag, the value and what is allowed, on one line.

use super::{POD, parse_in, refusal_in};
use crate::config::table::{Takes, flags};

const GOLDEN: &[(&[&str], &str)] = &[
    (&["--verbos"], "failed to read `--verbos`: no such flag; did you mean `--verbose`?"),
    (&["--log_level=info"], "failed to read `--log_level`: no such flag; did you mean `--log-level`?"),
    (&["--api-tokne=s3cret"], "failed to read `--api-tokne`: no such flag; did you mean `--api-token`?"),
    (&["--frobnicate"], "failed to read `--frobnicate`: no such flag; `--help` lists what is allowed"),
    (&["-verbose"], "failed to read `-verbose`: no such flag; did you mean `--verbose`?"),
    (&["-v"], "failed to read `-v`: no such flag; `--help` lists what is allowed"),
    (&["---debug"], "failed to read `---debug`: no such flag; did you mean `--debug`?"),
    (&["--=x"], "failed to read `--`: no such flag; `--help` lists what is allowed"),
    (&["--node"], "failed to read `--node`: a value must follow it"),
    (&["--debug=yes"], "invalid value `yes` for `--debug`: allowed is true or false"),
    (&["--prefetch=on"], "invalid value `on` for `--prefetch`: allowed is true or false"),
    (&["--app-port=http"], "invalid value `http` for `--app-port`: allowed is a port from 1 to 65535"),
    (&["--app-port="], "invalid value `` for `--app-port`: allowed is a port from 1 to 65535"),
    (&["--metrics-port", "70000"], "invalid value `70000` for `--metrics-port`: allowed is a port from 1 to 65535"),
    (&["--bind-address=node"], "invalid value `node` for `--bind-address`: allowed is an IP address"),
    (
        &["--token-audience="],
        "invalid value `` for `--token-audience`: allowed is a token's audience of 1 to 256 characters",
    ),
    (
        &["--container-credentials", "--token-audience=a\nb"],
        "invalid value `a\\nb` for `--token-audience`: allowed is a token's audience of 1 to 256 characters",
    ),
    (
        &["--metrics-bind-address=127.0.0.1"],
        "failed to use `--metrics-bind-address=127.0.0.1`: allowed only with a --metrics-port other than the app port 8181",
    ),
    (
        &["--container-credentials", "--bind-address=127.0.0.1"],
        "failed to use `--bind-address=127.0.0.1`: not allowed with --container-credentials, which is served at several addresses",
    ),
    (
        &["--backoff-max-elapsed-time=-1s"],
        "invalid value `-1s` for `--backoff-max-elapsed-time`: allowed is a duration such as 500ms, 15m or 1h30m, not below 0",
    ),
    (
        &["--backoff-max-interval=5"],
        "invalid value `5` for `--backoff-max-interval`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--cache-resync-period=x"],
        "invalid value `x` for `--cache-resync-period`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--log-flush-frequency="],
        "invalid value `` for `--log-flush-frequency`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--log-level=loud"],
        "invalid value `loud` for `--log-level`: allowed is panic, fatal, error, warn, warning, info, debug or trace",
    ),
    (
        &["--base-role-arn=arn:aws:iam::x:role/"],
        "invalid value `arn:aws:iam::x:role/` for `--base-role-arn`: allowed is arn:PARTITION:iam::ACCOUNT:role/ with or without a path",
    ),
    (
        &["--base-role-arn=arn:aws:iam::1:role/", "--auto-discover-base-arn"],
        "failed to use `--base-role-arn=arn:aws:iam::1:role/`: allowed is either this or --auto-discover-base-arn",
    ),
    (
        &["--default-role=app", "--auto-discover-default-role"],
        "failed to use `--default-role=app`: allowed is either this or --auto-discover-default-role",
    ),
    (
        &["--default-role=arn:aws:iam::1:user/x"],
        "invalid value `arn:aws:iam::1:user/x` for `--default-role`: allowed is a role's name, or arn:PARTITION:iam::ACCOUNT:role/NAME",
    ),
    (&["--iam-role-key="], "invalid value `` for `--iam-role-key`: allowed is an annotation's key: [PREFIX/]NAME"),
    (
        &["--namespace-key=a b"],
        "invalid value `a b` for `--namespace-key`: allowed is an annotation's key: [PREFIX/]NAME",
    ),
    (
        &["--iam-external-id=a/b/c"],
        "invalid value `a/b/c` for `--iam-external-id`: allowed is an annotation's key: [PREFIX/]NAME",
    ),
    (
        &["--namespace-restriction-format=regex"],
        "invalid value `regex` for `--namespace-restriction-format`: allowed is glob, regexp or regexp-unanchored",
    ),
    (&["--policy-mode=log"], "invalid value `log` for `--policy-mode`: allowed is enforce or audit"),
    (
        &["--allowed-accounts=123456789012,12345"],
        "invalid value `12345` for `--allowed-accounts`: allowed is account numbers of twelve digits, separated by commas",
    ),
    (
        &["--iam-role-session-ttl=5m"],
        "failed to use `--iam-role-session-ttl=5m`: STS would be asked for twice that, 600s; allowed is 900s to 43200s",
    ),
    (
        &["--iam-role-session-ttl=7h"],
        "failed to use `--iam-role-session-ttl=7h`: STS would be asked for twice that, 50400s; allowed is 900s to 43200s",
    ),
    (
        &["--iam-role-error-ttl=-1s"],
        "invalid value `-1s` for `--iam-role-error-ttl`: allowed is a duration such as 500ms, 15m or 1h30m, not below 0",
    ),
    (
        &["--iam-role-session-ttl="],
        "invalid value `` for `--iam-role-session-ttl`: allowed is a duration such as 500ms, 15m or 1h30m, not below 0",
    ),
    (
        &["--assume-role-arn=hop"],
        "invalid value `hop` for `--assume-role-arn`: allowed is arn:PARTITION:iam::ACCOUNT:role/NAME",
    ),
    (
        &["--session-name={nod}"],
        "invalid value `{nod}` for `--session-name`: allowed is text with {node}, {role}, {namespace}, {pod}, {service_account} or {uid} in it",
    ),
    (&["--transitive-tags"], "failed to use `--transitive-tags`: allowed only with --session-tags"),
    (
        &["--cluster-name=a;b"],
        "invalid value `a;b` for `--cluster-name`: allowed is a tag's value: at most 256 letters, digits, blanks and _.:/=+-@",
    ),
    (&["--sts-qps=0"], "invalid value `0` for `--sts-qps`: allowed is a number above 0, at most 1000"),
    (&["--sts-qps=NaN"], "invalid value `NaN` for `--sts-qps`: allowed is a number above 0, at most 1000"),
    (&["--metadata-addr="], "invalid value `` for `--metadata-addr`: allowed is HOST, HOST:PORT or [V6]:PORT"),
    (&["--imds-v2=on"], "invalid value `on` for `--imds-v2`: allowed is optional or required"),
    (
        &["--metadata-allow=user-data,iam"],
        "invalid value `iam` for `--metadata-allow`: allowed is user-data, instance-identity, fws or managed-ssh-keys",
    ),
    (&["--metadata-deny=("], "invalid value `(` for `--metadata-deny`: allowed is a regular expression"),
    (&["--host-ip=$(HOST_IP)"], "invalid value `$(HOST_IP)` for `--host-ip`: allowed is an IP address"),
    (&["--host-ip6=10.0.0.1"], "invalid value `10.0.0.1` for `--host-ip6`: allowed is an IPv6 address"),
    (
        &["--host-interface=eth0,a+b"],
        "invalid value `a+b` for `--host-interface`: allowed is interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception",
    ),
    (
        &["--host-interface=!+"],
        "invalid value `!+` for `--host-interface`: allowed is interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception",
    ),
    (
        &["--iptables", "--bind-address=10.0.0.1", "--host-ip=10.0.0.2"],
        "failed to use `--bind-address=10.0.0.1`: --iptables would send pods to 10.0.0.2, where nobody listens",
    ),
    (
        &["--iptables", "--bind-address=::1"],
        "failed to use `--bind-address=::1`: --iptables would send pods to the node's address, where nobody listens",
    ),
    (&["--redirect-on-exit=drop"], "invalid value `drop` for `--redirect-on-exit`: allowed is keep or remove"),
    (&["--metadata-drop=no"], "invalid value `no` for `--metadata-drop`: allowed is true or false"),
    (
        &["--node=$(NODE_NAME)"],
        "invalid value `$(NODE_NAME)` for `--node`: allowed is a node's name in small letters, digits, dots and dashes; in a manifest `$(NODE_NAME)` needs an `env` entry",
    ),
    (
        &["--api-server=ftp://a", "--api-token=s3cret"],
        "invalid value `ftp://a` for `--api-server`: allowed is http://HOST[:PORT] or https://HOST[:PORT]",
    ),
    (
        &["--state-dir=run"],
        "invalid value `run` for `--state-dir`: allowed is a path from the root, of at most 87 bytes",
    ),
    (
        &["--control-socket=a.sock"],
        "invalid value `a.sock` for `--control-socket`: allowed is a path from the root, of at most 107 bytes, or nothing",
    ),
    (&["--remove-taint=k"], "failed to use `--remove-taint=k`: allowed only with --node"),
    (
        &["--remove-taint=k:NoSchedule"],
        "invalid value `k:NoSchedule` for `--remove-taint`: allowed is a taint's key: [PREFIX/]NAME",
    ),
    (
        &["--shadow=http://127.0.0.1:8181/"],
        "failed to use `--shadow`: comparing is a command of its own now: `kube2iam compare --theirs=URL`, with the agent's flags",
    ),
];

#[test]
fn a_refusal_names_the_flag_the_value_and_what_is_allowed() {
    for (args, text) in GOLDEN {
        assert_eq!(refusal_in(POD, args), *text, "{args:?}");
    }
}

/// What argh says of a value is found again for every flag, or it would be said of the command line.
#[test]
fn whatever_refuses_a_value_names_its_flag() {
    let valued = flags().into_iter().filter(|flag| !matches!(flag.takes, Takes::Switch | Takes::Bool));
    let mut free = Vec::new();
    for flag in valued {
        match parse_in(POD, &[&format!("--{}='x': y\u{1}", flag.name)]) {
            Ok(_) => free.push(flag.name),
            Err(error) => {
                let named = format!("invalid value `\\'x\\': y\\u{{1}}` for `--{}`: allowed is ", flag.name);
                assert!(error.to_string().starts_with(&named), "{error}");
            }
        }
    }
    assert_eq!(free, ["kubeconfig", "api-token", "session-name", "metadata-deny", "log-format"]);
}

#[test]
fn only_the_first_fault_is_reported() {
    let text = refusal_in(POD, &["--log-level=loud", "--app-port=x"]);
    assert!(text.contains("--log-level") && !text.contains("--app-port"), "{text}");
    let text = refusal_in(POD, &["--debug", "--app-port=x", "--log-level=loud", "--max-world-age=x"]);
    assert!(text.contains("--app-port") && !text.contains("--log-level"), "{text}");
}

#[test]
fn no_fault_hides_behind_a_missing_api_server() {
    let outside = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set, as they are in a pod";
    let lone = |given: &str, missing: &str| {
        format!(
            "failed to use `{given}`: {missing} must come with it, and there is no service account to use instead: {outside}"
        )
    };
    for (args, text) in [
        (&["--api-server=https://a:6443"][..], lone("--api-server", "--api-token")),
        (&["--api-token=s3cret"], lone("--api-token", "--api-server")),
        (
            &["--api-server=ftp://a"],
            "invalid value `ftp://a` for `--api-server`: allowed is http://HOST[:PORT] or https://HOST[:PORT]"
                .to_owned(),
        ),
        (&["--sts-qps=x"], "invalid value `x` for `--sts-qps`: allowed is a number".to_owned()),
    ] {
        let found = refusal_in(&[], args);
        assert!(found.starts_with(&text), "{found}");
    }
}

#[test]
fn variables_are_refused_by_name() {
    let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    let port = ("KUBERNETES_SERVICE_PORT", "443");
    let nowhere = "failed to find an API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set, \
                   as they are in a pod; allowed is --kubeconfig, or --api-server with --api-token";
    for (environment, text) in [
        ([].as_slice(), nowhere),
        (&[host], nowhere),
        (&[port], nowhere),
        (
            &[host, ("KUBERNETES_SERVICE_PORT", "https")],
            "invalid value `https` for `KUBERNETES_SERVICE_PORT`: allowed is a port from 1 to 65535",
        ),
        (
            &[port, ("KUBERNETES_SERVICE_HOST", "a/b")],
            "invalid value `a/b` for `KUBERNETES_SERVICE_HOST`: allowed is a name or an IP address",
        ),
        (
            &[host, port, ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254")],
            "invalid value `169.254.169.254` for `AWS_EC2_METADATA_SERVICE_ENDPOINT`: allowed is http://HOST[:PORT]",
        ),
        (
            &[host, port, ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "v6")],
            "invalid value `v6` for `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE`: allowed is IPv4 or IPv6",
        ),
    ] {
        assert_eq!(refusal_in(environment, &[]), text);
    }
}
