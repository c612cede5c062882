//! Every refusal, word by word: the flag, the value and what is allowed, on one line.

use super::{POD, refusal_in};

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
    (&["--debug=yes"], "failed to read `--debug=yes`: allowed is true or false"),
    (&["--prefetch=on"], "failed to read `--prefetch=on`: allowed is true or false"),
    (&["--app-port=http"], "failed to read `--app-port=http`: allowed is a port from 1 to 65535"),
    (&["--app-port="], "failed to read `--app-port=`: allowed is a port from 1 to 65535"),
    (&["--metrics-port", "70000"], "failed to read `--metrics-port=70000`: allowed is a port from 1 to 65535"),
    (&["--bind-address=node"], "failed to read `--bind-address=node`: allowed is an IP address"),
    (
        &["--token-audience="],
        "failed to read `--token-audience=`: allowed is a token's audience of 1 to 256 characters",
    ),
    (
        &["--container-credentials", "--token-audience=a\nb"],
        "failed to read `--token-audience=a\\nb`: allowed is a token's audience of 1 to 256 characters",
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
        "failed to read `--backoff-max-elapsed-time=-1s`: allowed is a duration such as 500ms, 15m or 1h30m, not below 0",
    ),
    (
        &["--backoff-max-interval=5"],
        "failed to read `--backoff-max-interval=5`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--cache-resync-period=x"],
        "failed to read `--cache-resync-period=x`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--log-flush-frequency="],
        "failed to read `--log-flush-frequency=`: allowed is a duration such as 500ms, 15m or 1h30m",
    ),
    (
        &["--log-level=loud"],
        "failed to read `--log-level=loud`: allowed is panic, fatal, error, warn, warning, info, debug or trace",
    ),
    (
        &["--base-role-arn=arn:aws:iam::x:role/"],
        "failed to read `--base-role-arn=arn:aws:iam::x:role/`: allowed is arn:PARTITION:iam::ACCOUNT:role/ with or without a path",
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
        "failed to read `--default-role=arn:aws:iam::1:user/x`: allowed is a role's name, or arn:PARTITION:iam::ACCOUNT:role/NAME",
    ),
    (&["--iam-role-key="], "failed to read `--iam-role-key=`: allowed is an annotation's key: [PREFIX/]NAME"),
    (&["--namespace-key=a b"], "failed to read `--namespace-key=a b`: allowed is an annotation's key: [PREFIX/]NAME"),
    (
        &["--iam-external-id=a/b/c"],
        "failed to read `--iam-external-id=a/b/c`: allowed is an annotation's key: [PREFIX/]NAME",
    ),
    (
        &["--namespace-restriction-format=regex"],
        "failed to read `--namespace-restriction-format=regex`: allowed is glob, regexp or regexp-unanchored",
    ),
    (&["--policy-mode=log"], "failed to read `--policy-mode=log`: allowed is enforce or audit"),
    (
        &["--allowed-accounts=123456789012,12345"],
        "failed to read `--allowed-accounts=12345`: allowed is account numbers of twelve digits, separated by commas",
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
        "failed to read `--iam-role-error-ttl=-1s`: allowed is a duration such as 500ms, 15m or 1h30m, not below 0",
    ),
    (
        &["--assume-role-arn=hop"],
        "failed to read `--assume-role-arn=hop`: allowed is arn:PARTITION:iam::ACCOUNT:role/NAME",
    ),
    (
        &["--session-name={nod}"],
        "failed to read `--session-name={nod}`: allowed is text with {node}, {role}, {namespace}, {pod}, {service_account} or {uid} in it",
    ),
    (&["--transitive-tags"], "failed to use `--transitive-tags`: allowed only with --session-tags"),
    (
        &["--cluster-name=a;b"],
        "failed to read `--cluster-name=a;b`: allowed is a tag's value: at most 256 letters, digits, blanks and _.:/=+-@",
    ),
    (&["--sts-qps=0"], "failed to read `--sts-qps=0`: allowed is a number above 0, at most 1000"),
    (&["--sts-qps=NaN"], "failed to read `--sts-qps=NaN`: allowed is a number above 0, at most 1000"),
    (&["--metadata-addr="], "failed to read `--metadata-addr=`: allowed is HOST, HOST:PORT or [V6]:PORT"),
    (&["--imds-v2=on"], "failed to read `--imds-v2=on`: allowed is optional or required"),
    (
        &["--metadata-allow=user-data,iam"],
        "failed to read `--metadata-allow=iam`: allowed is user-data, instance-identity, fws or managed-ssh-keys",
    ),
    (&["--metadata-deny=("], "failed to read `--metadata-deny=(`: allowed is a regular expression"),
    (&["--host-ip=$(HOST_IP)"], "failed to read `--host-ip=$(HOST_IP)`: allowed is an IP address"),
    (&["--host-ip6=10.0.0.1"], "failed to read `--host-ip6=10.0.0.1`: allowed is an IPv6 address"),
    (
        &["--host-interface=eth0,a+b"],
        "failed to read `--host-interface=a+b`: allowed is interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception",
    ),
    (
        &["--host-interface=!+"],
        "failed to read `--host-interface=!+`: allowed is interface names of at most 15 letters, `+` at the end as a wildcard, `!` before an exception",
    ),
    (
        &["--iptables", "--bind-address=10.0.0.1", "--host-ip=10.0.0.2"],
        "failed to use `--bind-address=10.0.0.1`: --iptables would send pods to 10.0.0.2, where nobody listens",
    ),
    (
        &["--iptables", "--bind-address=::1"],
        "failed to use `--bind-address=::1`: --iptables would send pods to the node's address, where nobody listens",
    ),
    (&["--redirect-on-exit=drop"], "failed to read `--redirect-on-exit=drop`: allowed is keep or remove"),
    (&["--metadata-drop=no"], "failed to read `--metadata-drop=no`: allowed is true or false"),
    (
        &["--node=$(NODE_NAME)"],
        "failed to read `--node=$(NODE_NAME)`: allowed is a node's name in small letters, digits, dots and dashes; in a manifest `$(NODE_NAME)` needs an `env` entry",
    ),
    (
        &["--api-server=ftp://a", "--api-token=s3cret"],
        "failed to read `--api-server=ftp://a`: allowed is http://HOST[:PORT] or https://HOST[:PORT]",
    ),
    (&["--state-dir=run"], "failed to read `--state-dir=run`: allowed is a path from the root, of at most 87 bytes"),
    (
        &["--control-socket=a.sock"],
        "failed to read `--control-socket=a.sock`: allowed is a path from the root, of at most 107 bytes, or nothing",
    ),
    (&["--remove-taint=k"], "failed to use `--remove-taint=k`: allowed only with --node"),
    (
        &["--remove-taint=k:NoSchedule"],
        "failed to read `--remove-taint=k:NoSchedule`: allowed is a taint's key: [PREFIX/]NAME",
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

#[test]
fn only_the_first_fault_is_reported() {
    let text = refusal_in(POD, &["--log-level=loud", "--app-port=x"]);
    assert!(text.contains("--log-level") && !text.contains("--app-port"), "{text}");
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
            "failed to read `KUBERNETES_SERVICE_PORT=https`: allowed is a port from 1 to 65535",
        ),
        (
            &[port, ("KUBERNETES_SERVICE_HOST", "a/b")],
            "failed to read `KUBERNETES_SERVICE_HOST=a/b`: allowed is a name or an IP address",
        ),
        (
            &[host, port, ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254")],
            "failed to read `AWS_EC2_METADATA_SERVICE_ENDPOINT=169.254.169.254`: allowed is http://HOST[:PORT]",
        ),
        (
            &[host, port, ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "v6")],
            "failed to read `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=v6`: allowed is IPv4 or IPv6",
        ),
    ] {
        assert_eq!(refusal_in(environment, &[]), text);
    }
}
