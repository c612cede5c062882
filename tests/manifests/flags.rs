//! Every flag that a manifest gives is one that the binary takes, in the form in which it is given.

use std::fs;
use std::process::{Command, Output};

use crate::rules::{arguments, containers};
use crate::{chart, kustomize, tools};

/// A way to start the binary, and where it was found.
struct Start {
    from: String,
    words: Vec<String>,
}

/// What the kubelet would put in place of references to the environment.
fn expanded(word: &str) -> String {
    let word = word.replace("$(NODE_NAME)", "node-1").replace("$(HOST_IP)", "10.0.0.1");
    word.replace("$(KUBE2IAM_BASE_ARN_FLAG)", "--auto-discover-base-arn")
}

/// All of them: kustomizations, the chart with everything on, systemd units; `None` if the test is to be skipped.
fn every_start() -> Option<Vec<Start>> {
    let mut sets = Vec::new();
    for one in kustomize::every_one()? {
        sets.push((one.name.clone(), one.of_kind("DaemonSet").clone()));
    }
    sets.push(("chart".to_owned(), chart::daemon_set_with_every_flag()?));
    let start = |(from, set): &(String, _)| {
        let words = |container| arguments(container).into_iter().map(expanded).collect();
        containers(set).map(|container| Start { from: from.clone(), words: words(container) }).collect::<Vec<_>>()
    };
    let mut starts: Vec<Start> = sets.iter().flat_map(start).collect();
    starts.push(unit("overlays/bootstrap/kube2iam-redirect.service"));
    Some(starts)
}

fn unit(path: &str) -> Start {
    let text = fs::read_to_string(tools::project().join("manifests").join(path)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words = line.split(' ').skip(1).map(str::to_owned).collect();
    Start { from: path.to_owned(), words }
}

fn kube2iam(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kube2iam")).args(words).env_clear().output().unwrap()
}

#[test]
fn every_flag_of_a_manifest_is_in_the_help() {
    let Some(starts) = every_start() else { return };
    for start in &starts {
        let command: Vec<&str> =
            start.words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
        let help = kube2iam(&[command.as_slice(), &["--help"]].concat());
        assert!(help.status.success(), "{command:?} --help: {help:?}");
        let help = String::from_utf8(help.stdout).unwrap();
        let known: Vec<&str> = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
        for word in &start.words[command.len()..] {
            let flag = word.split('=').next().unwrap();
            assert!(known.contains(&flag), "{}: {flag} isn't in the help of {command:?}", start.from);
        }
    }
}

/// `--version` ends the program once the command line has been read, so what comes before it has been understood.
#[test]
fn every_command_line_of_a_manifest_is_read() {
    let Some(starts) = every_start() else { return };
    for start in starts.iter().filter(|start| start.words[0].starts_with('-')) {
        let words: Vec<&str> = start.words.iter().map(String::as_str).chain(["--version"]).collect();
        let output = kube2iam(&words);
        assert!(output.stdout.starts_with(b"Version: "), "{}: {words:?}: {output:?}", start.from);
    }
}

#[test]
fn the_version_names_the_commit_and_its_date() {
    let Some(git) = tools::find("git", "Debian: git") else { return };
    let told = String::from_utf8(kube2iam(&["--version"]).stdout).unwrap();
    let mut log = Command::new(git);
    log.current_dir(tools::project()).env("TZ", "UTC").args(["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]);
    let Ok(commit) = tools::run(log.arg("--format=Commit: %H - Date: %cd")) else {
        tools::skip("the commit in --version (not a checkout)");
        return;
    };
    let commit = String::from_utf8(commit.stdout).unwrap();
    assert_eq!(told, format!("Version: {} - {commit}", env!("CARGO_PKG_VERSION")));
}
