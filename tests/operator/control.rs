//! The socket itself, `status` and `log-level`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::standins::agent::Until;
use super::standins::client::{get, get_as_operator};
use super::standins::kubernetes::{Kind, On, Refusal};
use super::standins::sts::StsFault;
use super::standins::{Lab, PATIENCE, Times, process};
use super::tools;
use super::{BASE, Site, WEB, ask, flag, socket, wait_for, web};

#[test]
fn status_tells_how_the_agent_is() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[]);
    lab.kubernetes.add_pod(web().node("node-1"));
    let site = Site::open(lab, &["--node=node-1", "--iam-role-session-ttl=15m"]);
    assert_eq!(get(site.agent.addr(), WEB, "/latest/meta-data/iam/security-credentials/app").status, 200);
    let told = wait_for("the caller's identity", || {
        let outcome = site.ask(&["status"]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        Some(outcome.stdout).filter(|text| text.contains("as arn:aws:sts::"))
    });
    for part in [
        "kube2iam 0.1.0",
        "up ",
        "node-1",
        "1 pods, 3 namespaces",
        "pods: listed, last heard of",
        "namespaces: listed, last heard of",
        "base arn:aws:iam::123456789012:role/, default none, namespace restrictions off",
        "environment variables, as arn:aws:sts::123456789012:assumed-role/node-role/i-1234567890abcdef0",
        "1 held, 0 refused",
        "connections: ",
        "calls to STS in flight: 0 of 8",
        "redirect",
        "info",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let json: Value = serde_json::from_str(&site.ask(&["status", "--json"]).stdout).unwrap();
    assert_eq!((&json["ready"], &json["pods"], &json["sessions"]["held"]), (&true.into(), &1.into(), &1.into()));
    site.lab.assert_log_is_clean(&site.agent);
}

#[test]
fn the_log_level_changes_while_the_agent_runs() {
    let site = Site::open(Lab::start(), &[]);
    assert_eq!(site.ask(&["log-level"]).stdout, "info\n");
    assert!(!site.agent.log().iter().any(|line| line.contains("level=debug")));
    assert_eq!(site.ask(&["log-level", "debug"]).stdout, "debug\n");
    site.lab.kubernetes.add_pod(web());
    site.agent.wait_for_log("pod seen");
    assert_eq!(site.ask(&["log-level", "error"]).stdout, "error\n");
    let lines = site.agent.log().len();
    get(site.agent.addr(), WEB, "/latest/meta-data/iam/security-credentials/");
    assert_eq!(site.ask(&["log-level", "warn"]).stdout, "warn\n");
    site.agent.wait_for_log("the log level is `WARN` now, after `ERROR`");
    assert!(!site.agent.log_from(lines, std::time::Duration::ZERO).iter().any(|line| line.contains("GET ")));
    let wrong = site.ask(&["log-level", "loud"]);
    assert_eq!(wrong.code, Some(64));
    assert_eq!(
        wrong.stderr,
        "kube2iam: invalid value `loud` for the level: allowed is panic, fatal, error, warn, warning, info, debug or trace\n"
    );
}

/// Scripts that read kube2iam's page, and `kube2iam compare`, read this one.
#[test]
fn the_debug_store_has_kube2iams_keys_and_form() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app", "team/*"]"#)]);
    lab.kubernetes.add_pod(web());
    lab.kubernetes.add_pod(super::PodSpec::new("shop", "plain").ip("127.0.0.8"));
    let site = Site::open(lab, &["--namespace-restrictions", "--debug"]);
    let answer = get_as_operator(site.agent.addr(), "/debug/store");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let store: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(store["rolesByIP"], serde_json::json!({ WEB: "app", "127.0.0.8": "" }));
    assert_eq!(store["namespaceByIP"], serde_json::json!({ WEB: "shop", "127.0.0.8": "shop" }));
    assert_eq!(store["rolesByNamespace"]["shop"], serde_json::json!(["app", "team/*"]));
    assert_eq!(store.as_object().unwrap().len(), 3);
}

#[test]
fn a_slip_of_a_command_starts_no_second_agent() {
    let outcome = super::Setup::of(super::test_binary())
        .flags(&["statsu"])
        .set("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .set("KUBERNETES_SERVICE_PORT", "1")
        .run();
    let told = "kube2iam: failed to read the first word: no such command; did you mean `status`?\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(64), told));
}

#[test]
fn a_successor_has_the_socket_and_its_predecessor_leaves_it() {
    let lab = Lab::start();
    let socket = socket();
    let start = || lab.setup().flags(&[BASE, &flag(&socket)]).start();
    let mut first = start();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut second = start();
    first.stop();
    assert_eq!(ask(&socket, &["status"]).code, Some(0));
    second.stop();
    assert!(!socket.exists());
    let outcome = ask(&socket, &["status"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("kube2iam: failed to ask the agent at `"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn a_socket_that_cannot_be_made_ends_the_start_if_it_was_asked_for() {
    let lab = Lab::start();
    let outcome = lab.setup().flags(&[BASE, "--control-socket=/dev/null/control.sock"]).run();
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("kube2iam: failed to open the control socket `/dev/null/control.sock`: "),
        "{}",
        outcome.stderr
    );
    let agent = lab.setup().flags(&[BASE, "--control-socket="]).until(Until::Ready).start();
    assert!(!agent.log().iter().any(|line| line.contains("control socket")));
}

#[test]
fn what_is_no_question_is_refused() {
    let site = Site::open(Lab::start(), &[]);
    for (request, status) in [
        ("GET /explain?subject=nobody HTTP/1.0\r\n\r\n", "400"),
        ("POST /status HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "405"),
        ("DELETE /log-level HTTP/1.0\r\n\r\n", "405"),
        ("POST /log-level?level=loud HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "404"),
        ("GET /latest/meta-data/iam/security-credentials/ HTTP/1.0\r\n\r\n", "404"),
    ] {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&site.socket).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")) && answer.contains("{\"error\":"), "{answer}");
    }
}

/// The script is read by the shell itself.
#[test]
fn bash_completes_commands_flags_and_actions() {
    let Some(bash) = tools::find("bash", "Debian package bash") else { return };
    let script = ask_nothing(&["completion", "bash"]);
    for (line, wanted) in [
        ("kube2iam expl", "explain"),
        ("kube2iam --app-p", "--app-port="),
        ("kube2iam status --js", "--json"),
        ("kube2iam doctor --external", "--external-id="),
        ("kube2iam doctor --role=x --app-p", "--app-port="),
        ("kube2iam redirect sta", "status"),
        ("kube2iam redirect add --ad", "--adopt"),
        ("kube2iam completion fi", "fish"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let program = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _kube2iam; echo \"${{COMPREPLY[*]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let mut command = std::process::Command::new(&bash);
        let printed = process::run_well(command.args(["--norc", "-c", &program]), PATIENCE).unwrap();
        assert_eq!(printed.trim(), wanted, "{line}");
    }
}

#[test]
fn zsh_and_fish_can_read_their_scripts() {
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let Some(program) = tools::find(shell, "Debian package of the same name") else { continue };
        let path = tools::empty_dir("completion").join(shell);
        std::fs::write(&path, ask_nothing(&["completion", shell])).unwrap();
        process::run_well(std::process::Command::new(program).arg(check).arg(&path), PATIENCE).unwrap();
    }
}

fn ask_nothing(words: &[&str]) -> String {
    let outcome = super::Setup::of(super::test_binary()).flags(words).run();
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    outcome.stdout
}

#[test]
fn status_says_problems_first_and_ends_with_1_while_the_agent_is_not_ready() {
    let lab = Lab::start();
    lab.kubernetes.refuse(On::List(Kind::Pod), Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
    lab.sts.fault(None, StsFault::Refuse { status: 503, code: "ServiceUnavailable", message: "away" }, Times::Always);
    let socket = socket();
    let agent = lab.setup().flags(&[BASE, &flag(&socket)]).until(Until::Listening).start();
    let told = wait_for("all problems", || {
        let outcome = ask(&socket, &["status"]);
        let all = outcome.stdout.contains("`, for ")
            && !outcome.stdout.contains("namespaces were never")
            && outcome.stdout.contains("calls to STS fail");
        all.then_some(outcome)
    });
    assert_eq!(told.code, Some(1), "{told:?}");
    let lines: Vec<&str> = told.stdout.lines().collect();
    let server = format!("PROBLEM            pods were never listed from `{}`, for ", lab.kubernetes.url());
    assert!(lines[1].starts_with(&server), "{told:?}");
    assert!(lines[2].starts_with("PROBLEM            calls to STS fail, for "), "{told:?}");
    assert!(told.stdout.contains("ready              no: pods are not listed yet"), "{told:?}");
    let json: Value = serde_json::from_str(&ask(&socket, &["status", "--json"]).stdout).unwrap();
    assert_eq!((&json["ready"], &json["problems"].as_array().map(Vec::len)), (&false.into(), &Some(2)));
    lab.kubernetes.clear_refusals();
    lab.sts.clear_faults();
    wait_for("an agent that is well", || {
        let outcome = ask(&socket, &["status"]);
        (outcome.code == Some(0) && !outcome.stdout.contains("PROBLEM")).then_some(())
    });
    drop(agent);
}

#[test]
fn status_is_watched_until_its_reader_goes() {
    let site = Site::open(Lab::start(), &[]);
    let flags = ["status", "--watch", "--json", &format!("--socket={}", site.socket.display())].map(str::to_owned);
    let mut command = std::process::Command::new(super::test_binary());
    let mut watching = command.args(&flags).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let status: Value = serde_json::from_str(&shown.next().unwrap().unwrap()).unwrap();
        assert_eq!(status["ready"], true);
    }
    drop(shown);
    assert_eq!(watching.wait().unwrap().code(), Some(1), "nobody reads any more");
}
