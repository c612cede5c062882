use super::*;

const GOOD: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts:
- name: elsewhere
  context: {cluster: other, user: other}
- name: here
  context:
    cluster: c
    user: u
clusters:
- name: c
  cluster:
    server: https://10.0.0.1:6443/k8s/clusters/c-1/
users:
- name: u
  user:
    token: hunter2
";

fn read_text(text: &str) -> Result<ApiServerConnection, String> {
    let connection = connection(text.as_bytes(), Path::new("/nowhere/config"), Verification::Required);
    connection.map_err(|error| error.to_string())
}

#[test]
fn current_context_is_read() {
    let connection = read_text(GOOD).unwrap();
    assert_eq!(connection.server, "https://10.0.0.1:6443/k8s/clusters/c-1");
    assert!(matches!(&connection.auth, Auth::Token(token) if token.expose() == "hunter2"));
    assert!(matches!(connection.tls.roots, Roots::BuiltIn) && connection.tls.client_certificate.is_none());
    assert!(!format!("{connection:?}").contains("hunter2"));
}

#[test]
fn numbers_are_read_as_written() {
    for (written, read) in
        [("0123", "0123"), ("0x1f", "0x1f"), ("'true'", "true"), ("!!str true", "true"), ("1.50", "1.50")]
    {
        let connection = read_text(&GOOD.replace("hunter2", written)).unwrap();
        assert!(matches!(&connection.auth, Auth::Token(token) if token.expose() == read), "{written}");
    }
    for nothing in ["null", "~", "", "!!null ~"] {
        assert!(matches!(read_text(&GOOD.replace("hunter2", nothing)).unwrap().auth, Auth::None), "{nothing}");
    }
    assert!(read_text(&GOOD.replace("hunter2", "true")).is_err());
}

#[test]
fn json_is_accepted_as_yaml() {
    let json = r#"{"current-context":"here","contexts":[{"name":"here","context":{"cluster":"c"}}],
        "clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:8001"}}],"users":null}"#;
    assert!(matches!(read_text(json).unwrap().auth, Auth::None));
}

#[test]
fn token_file_is_relative_to_the_kubeconfig_and_takes_precedence() {
    for (line, expected) in [("tokenFile: t", "/nowhere/t"), ("tokenFile: /else/t", "/else/t")] {
        let text = GOOD.replace("    token: hunter2", &format!("    token: hunter2\n    {line}"));
        let connection = read_text(&text).unwrap();
        assert!(matches!(&connection.auth, Auth::TokenFile(path) if path == Path::new(expected)));
    }
}

#[test]
fn server_without_a_scheme_uses_https() {
    for (written, url) in [
        ("10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("api.example.test", "https://api.example.test"),
        ("api.example.test/k8s/clusters/c-1/", "https://api.example.test/k8s/clusters/c-1"),
        ("'[fd00::1]:6443'", "https://[fd00::1]:6443"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
    ] {
        let text = GOOD.replace("https://10.0.0.1:6443/k8s/clusters/c-1/", written);
        assert_eq!(read_text(&text).unwrap().server, url);
    }
}

#[test]
fn tls_server_name_replaces_the_host() {
    for (written, name) in [("api.internal", Some("api.internal")), ("10.0.0.9", Some("10.0.0.9")), ("''", None)] {
        let text = GOOD.replace("    server:", &format!("    tls-server-name: {written}\n    server:"));
        let tls = read_text(&text).unwrap().tls;
        assert_eq!(tls.server_name.map(|name| name.to_str().into_owned()).as_deref(), name);
    }
}

#[test]
fn verification_is_skipped_by_flag_or_field() {
    let insecure = GOOD.replace("    server:", "    insecure-skip-tls-verify: true\n    server:");
    assert!(matches!(read_text(&insecure).unwrap().tls.roots, Roots::Unverified));
    let flag = connection(GOOD.as_bytes(), Path::new(""), Verification::Skipped).unwrap();
    assert!(matches!(flag.tls.roots, Roots::Unverified));
}

#[test]
fn missing_or_unsupported_fields_are_named() {
    for (from, to, cause) in [
        ("current-context: here", "", "it has no `current-context`"),
        ("current-context: here", "current-context: ''", "it has no `current-context`"),
        ("current-context: here", "current-context: gone", "context `gone` is not in `contexts`"),
        ("    cluster: c\n", "", "context `here` has no `cluster`"),
        ("    cluster: c\n", "    cluster: d\n", "cluster `d` is not in `clusters`"),
        ("    user: u\n", "    user: v\n", "user `v` is not in `users`"),
        ("    server: https://10.0.0.1:6443/k8s/clusters/c-1/", "    {}", "cluster `c` has no `server`"),
        ("https://10.0.0.1:6443", "10.0.0.1:six", "unusable URL `https://10.0.0.1:six/k8s/clusters/c-1/`"),
        ("https://10.0.0.1", "https://user:secret@10.0.0.1", "unusable URL"),
        ("    server:", "    proxy-url: http://p\n    server:", "cluster `c` sets `proxy-url`, which is not supported"),
        ("    server:", "    tls-server-name: a..b\n    server:", "`tls-server-name` is neither a name nor an address"),
        ("    server:", "    certificate-authority: ca.crt\n    server:", "failed to read `/nowhere/ca.crt`"),
        (
            "    server:",
            "    certificate-authority-data: '%'\n    server:",
            "`certificate-authority-data` is not base64",
        ),
        ("    server:", "    certificate-authority-data: aGk=\n    server:", "no usable certificate in PEM form"),
        ("    token: hunter2", "    exec: {command: aws}", "user `u` sets `exec`, which is not supported"),
        (
            "    token: hunter2",
            "    auth-provider: {name: gcp}",
            "user `u` sets `auth-provider`, which is not supported",
        ),
        ("    token: hunter2", "    username: a\n    password: b", "user `u` sets `username`, which is not supported"),
        ("    token: hunter2", "    as: admin", "user `u` sets `as`, which is not supported"),
        ("    token: hunter2", "    client-key-data: aGk=", "`client-key` is set without `client-certificate`"),
        ("    token: hunter2", "    client-certificate-data: aGk=", "`client-certificate` is set without `client-key`"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let refused = read_text(&GOOD.replace(from, to)).unwrap_err();
        assert!(refused.contains(cause) && !refused.contains("secret"), "{to}: {refused}");
    }
}

#[test]
fn malformed_file_is_rejected_without_quoting_it() {
    for text in [
        "",
        "just a string",
        "a: [",
        "current-context: [hunter2]",
        "users: [{name: u, user: {token: [hunter2]}}]",
        "users:\n- name: u\n  user:\n   token: hunter2\n  token: 'hunter2",
        "current-context: a\ncurrent-context: hunter2",
    ] {
        let refused = read_text(text).unwrap_err();
        assert!(refused.starts_with("it is not a kubeconfig") || refused.starts_with("it has no"), "{text}: {refused}");
        assert!(!refused.contains("hunter2") && !refused.contains('\n'), "{refused}");
    }
    assert_eq!(connection(b"\xff", Path::new(""), Verification::Required).unwrap_err().0, "it is not UTF-8");
}

#[test]
fn deep_nesting_and_aliases_are_rejected() {
    let laughs: String = (1..20).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9))).collect();
    for text in [
        "- ".repeat(200_000),
        "? ".repeat(200_000),
        "[".repeat(200),
        format!("a0: &a0 x\n{laughs}{GOOD}"),
        format!("a: &a {}\nb: [{}]\n{GOOD}", "x".repeat(100_000), "*a,".repeat(1_000)),
    ] {
        let refused = read_text(&text).unwrap_err();
        assert!(refused.starts_with("it is not a kubeconfig in YAML at line"), "{refused}");
    }
    let shared = GOOD.replace("current-context: here", "current-context: &a here").replace("name: here", "name: *a");
    assert!(read_text(&shared).is_ok());
}

#[test]
fn multi_line_names_are_escaped() {
    let refused = read_text(&GOOD.replace("current-context: here", "current-context: \"a\\nb\\e[31m\"")).unwrap_err();
    assert_eq!(refused, "context `a\\nb\\u{1b}[31m` is not in `contexts`");
}
