//! `manifests/kubectl-kube2iam` with a kubectl in its PATH that writes down how it was called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::tools;

/// Answers as a cluster of three nodes does, and writes each call on a line, its words in brackets.
const KUBECTL: &str = r#"#!/bin/sh
for word in "$@"; do printf '[%s]' "$word" >>"$CALLS"; done
echo >>"$CALLS"
case "$*" in
*'get pods '*spec.nodeName=node-3*)
    echo 'old|node-3|True|2026-01-01T00:00:00Z'
    echo 'starts|node-3|False|'
    echo 'agent-3|node-3|True|' ;;
*'get pods '*spec.nodeName=node-2*) echo 'starts|node-2|False|' ;;
*'get pods '*spec.nodeName=*) ;;
*status.podIP=10.0.0.7*) printf node-3 ;;
*status.podIP=*) echo 'array index out of bounds' >&2; exit 1 ;;
*'get pods '*)
    echo 'agent-1|node-1|True|'
    echo 'agent-3|node-3|True|' ;;
*'get pod '*web-2*) printf node-3 ;;
*'get pod '*pending*) ;;
*'get pod '*odd*) printf 'node-3; touch owned' ;;
*'get pod '*) echo 'pods not found' >&2; exit 1 ;;
*'exec '*agent-1*) echo 'said by agent-1' ;;
*'exec '*agent-3*) echo 'said by agent-3'; exit "${AGENT_3_ENDS:-0}" ;;
*'exec '*) echo 'said by another' ;;
esac
"#;

struct Terminal {
    dir: PathBuf,
}

impl Terminal {
    fn new(name: &str) -> Self {
        let dir = tools::empty_dir(&format!("plugin-{name}-{}", std::process::id()));
        let kubectl = dir.join("kubectl");
        fs::write(&kubectl, KUBECTL).unwrap();
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// Runs the plugin; gives how it ended and the calls of kubectl.
    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> (Output, Vec<String>) {
        let calls = self.dir.join("calls");
        fs::write(&calls, "").unwrap();
        let path = format!("{}:{}", self.dir.display(), std::env::var_os("PATH").unwrap().display());
        let mut command = Command::new("sh");
        command.arg(tools::project().join("manifests/kubectl-kube2iam")).args(words).current_dir(&self.dir);
        let output = command.env("PATH", path).env("CALLS", &calls).envs(variables.iter().copied()).output().unwrap();
        let called = fs::read_to_string(calls).unwrap().lines().map(str::to_owned).collect();
        (output, called)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const AGENTS: &str = "[get][pods][--namespace=kube-system]\
    [--selector=app.kubernetes.io/name in (kube2iam,kube2iam-chart)]";
const OUTPUT: &str = "[-o][jsonpath={range .items[*]}{.metadata.name}|{.spec.nodeName}|\
    {.status.conditions[?(@.type==\"Ready\")].status}|{.metadata.deletionTimestamp}{\"\\n\"}{end}]";

fn exec(agent: &str, words: &str) -> String {
    format!("[exec][--namespace=kube-system][--container=kube2iam][{agent}][--][/kube2iam]{words}")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn explain_asks_the_ready_agent_of_the_pods_node() {
    let terminal = Terminal::new("explain");
    let node = "[get][pod][--namespace=shop][web-2][-o][jsonpath={.spec.nodeName}]".to_owned();
    let agents = format!("{AGENTS}[--field-selector=spec.nodeName=node-3]{OUTPUT}");
    let asked = exec("agent-3", "[explain][shop/web-2]");
    for words in
        [&["explain", "shop/web-2"][..], &["explain", "web-2", "-n", "shop"], &["-n", "shop", "explain", "web-2"]]
    {
        let (output, calls) = terminal.run(words, &[]);
        assert_eq!(calls, [node.clone(), agents.clone(), asked.clone()], "{words:?}: {output:?}");
        assert_eq!((code(&output), output.stdout), (0, b"said by agent-3\n".to_vec()));
    }
    let (_, calls) = terminal.run(&["explain", "--json", "10.0.0.7"], &[]);
    assert_eq!(calls, Vec::<String>::new(), "the subject comes first");
    let (_, calls) = terminal.run(&["explain", "10.0.0.7", "--json"], &[]);
    assert_eq!(calls[2], exec("agent-3", "[explain][10.0.0.7][--json]"));
    let (output, _) = terminal.run(&["explain", "shop/web-2"], &[("AGENT_3_ENDS", "1")]);
    assert_eq!(code(&output), 1, "the command's own exit code");
}

#[test]
fn where_the_agents_are_and_which_cluster_can_be_said() {
    let terminal = Terminal::new("options");
    let words =
        ["status", "--context=prod", "--kubeconfig", "/a b", "--agents=iam", "--selector=app=k", "--node=node-2"];
    let (_, calls) = terminal.run(&words, &[]);
    let first = "[--context=prod][--kubeconfig=/a b]";
    assert!(calls[0].starts_with(&format!("{first}[get][pods][--namespace=iam][--selector=app=k]")), "{calls:?}");
    let asked = format!("{first}[exec][--namespace=iam][--container=kube2iam][starts][--][/kube2iam][status]");
    assert_eq!(calls[1], asked, "an agent that isn't ready, where there is no other");
    let variables = [("KUBE2IAM_NAMESPACE", "iam"), ("KUBE2IAM_SELECTOR", "app=k")];
    let (_, calls) = terminal.run(&["status", "--node=node-2"], &variables);
    assert!(calls[0].starts_with("[get][pods][--namespace=iam][--selector=app=k]"), "{calls:?}");
}

#[test]
fn without_a_node_every_agent_is_asked_and_the_worst_end_counts() {
    let terminal = Terminal::new("all");
    for (words, asked) in [(&["status"][..], "[status]"), (&["log-level", "debug"], "[log-level][debug]")] {
        let (output, calls) = terminal.run(words, &[("AGENT_3_ENDS", "3")]);
        assert_eq!(calls[1..], [exec("agent-1", asked), exec("agent-3", asked)]);
        assert_eq!(code(&output), 3);
        assert_eq!(output.stdout, b"said by agent-1\nsaid by agent-3\n", "names of agents go to standard error");
    }
    let (_, calls) = terminal.run(&["doctor", "--node=node-3", "--role=app"], &[]);
    assert_eq!(calls[1], exec("agent-3", "[doctor][--node=node-3][--role=app]"));
}

/// Whoever makes a pod names it, and another person pastes the name.
#[test]
fn what_is_no_name_reaches_no_command_line() {
    let terminal = Terminal::new("hostile");
    for words in [
        &["explain", "shop/$(touch owned)"][..],
        &["explain", "shop/`touch owned`"],
        &["explain", "shop/web;touch owned"],
        &["explain", "shop/web-2 --all"],
        &["explain", "shop/web\n-2"],
        &["explain", "shop/*"],
        &["explain", "--all/web-2"],
        &["explain", "shop/--all"],
        &["explain", "shop/web-2/x"],
        &["explain", "/web-2"],
        &["explain", ""],
        &["explain"],
        &["explain", "web-2", "-n", "shop|x"],
        &["explain", "web-2", "-n"],
        &["status", "--node=a,b"],
        &["status", "--agents=$(touch owned)"],
        &["doctor"],
        &["explode", "shop/web-2"],
    ] {
        let (output, calls) = terminal.run(words, &[]);
        assert_eq!((code(&output), calls), (64, Vec::new()), "{words:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{words:?}: {output:?}");
        assert!(!terminal.dir.join("owned").exists(), "{words:?}");
    }
}

#[test]
fn what_is_not_found_is_one_line_and_a_failure() {
    let terminal = Terminal::new("missing");
    for (words, said) in [
        (&["explain", "shop/pending"][..], "pod shop/pending has no node yet"),
        (&["explain", "shop/odd"], "pod shop/odd has no node yet"),
        (&["explain", "shop/gone"], "pods not found"),
        (&["explain", "10.0.0.9"], "array index out of bounds"),
        (&["status", "--node=node-9"], "no agent on node node-9"),
    ] {
        let (output, calls) = terminal.run(words, &[]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((code(&output), errors.lines().count()), (1, 1), "{words:?}: {output:?}");
        assert!(errors.contains(said), "{errors}");
        assert!(calls.iter().all(|call| !call.starts_with("[exec]")), "{calls:?}");
        assert!(!terminal.dir.join("owned").exists());
    }
}

#[test]
fn help_is_help() {
    let terminal = Terminal::new("help");
    for words in [&[][..], &["help"], &["--help"], &["-h"]] {
        let (output, _) = terminal.run(words, &[]);
        assert_eq!(code(&output), 0);
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("Usage: kubectl kube2iam COMMAND"));
    }
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let Some(shellcheck) = tools::find("shellcheck", "Debian: shellcheck") else { return };
    let mut command = Command::new(shellcheck);
    tools::run(
        command
            .args(["--shell=sh", "--enable=all", "--exclude=SC2310,SC2311,SC2312,SC2250,SC2249"])
            .arg(tools::project().join("manifests/kubectl-kube2iam")),
    )
    .unwrap();
}
