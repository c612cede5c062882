//! What the README asks a reader to type is typed here, block by block, in one shell: with stand-ins for the programs
//! that need a cluster, an account or a registry (`stand_in.sh`), with the real kubectl to render, and with a real agent
//! that knows the README's own pod.
//!
//! The first block runs elsewhere: `.ci/run` and `tests/playground.rs` run the playground, and the rest of it is this
//! test run. The static file of the second step is built by `tests/shipping`, with `.ci/build`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::page::{self, top};
use crate::standins::Lab;
use crate::standins::agent::test_binary;
use crate::standins::client::get;
use crate::standins::kubernetes::PodSpec;
use crate::tools;

const KUBECTL: &str = "kubectl 1.22 or newer";
const ADDRESS: &str = "127.0.0.7";
const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/pods/report";
/// The one image that the README's kustomization and Helm's line should name.
const IMAGE: &str = "registry.example.com/kube2iam:0.1.0";

/// What running all of the README's blocks left behind.
struct Run {
    stand_ins: PathBuf,
}

impl Run {
    /// `None` if the test is to be skipped.
    fn all_blocks() -> Option<(Self, Lab, crate::standins::agent::Agent)> {
        let kubectl = tools::find("kubectl", KUBECTL)?;
        let (work, stand_ins) = (tools::empty_dir("readme-work"), tools::empty_dir("readme-stand-ins"));
        for name in ["kubectl", "aws", "docker", "helm", "cargo"] {
            symlink(top().join("tests/docs/stand_in.sh"), stand_ins.join(name)).unwrap();
        }
        tools::run(
            Command::new("cp").arg("-r").args([top().join("manifests"), top().join("Dockerfile.scratch")]).arg(&work),
        )
        .unwrap();
        let lab = Lab::start();
        lab.kubernetes.add_namespace("batch", &[]);
        lab.kubernetes.add_pod(PodSpec::new("batch", "report").ip(ADDRESS).role(&role_of_the_pod()));
        let socket = stand_ins.join("control.sock");
        let agent = lab.agent(&[BASE, &format!("--control-socket={}", socket.display())]);
        let path = format!("{}:{}", stand_ins.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.args(["-euc", &script()]).current_dir(&work).env("PATH", path).env("STAND_INS", &stand_ins);
        shell.env("REAL_KUBECTL", kubectl).env("KUBE2IAM", test_binary()).env("CONTROL_SOCKET", socket);
        tools::run(&mut shell).unwrap();
        Some((Self { stand_ins }, lab, agent))
    }

    fn left(&self, name: &str) -> String {
        let path = self.stand_ins.join(name);
        fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
    }

    fn calls(&self, program: &str) -> Vec<String> {
        let calls = self.left("calls");
        let of_program = calls.lines().filter(|call| call.split(' ').any(|word| word == program));
        of_program.map(|call| call.trim().to_owned()).collect()
    }
}

/// All blocks that a reader would copy, in their order.
fn script() -> String {
    let blocks = page::read("README.md").blocks();
    let shell: String = blocks.into_iter().filter(|block| block.language == "sh").map(|block| block.text).collect();
    assert!(shell.lines().count() > 40, "{shell}");
    shell
}

/// The role that the README's pod names.
fn role_of_the_pod() -> String {
    let page = page::read("README.md").text;
    let (_, rest) = page.split_once("    iam.amazonaws.com/role: ").expect("the README has a pod with a role");
    rest.lines().next().unwrap().to_owned()
}

#[test]
fn every_command_block_of_the_readme_runs() {
    let Some((run, lab, agent)) = Run::all_blocks() else { return };
    policies_are_what_the_agent_needs(&run);
    manifests_are_the_agents(&run);
    let said = run.left("said");
    assert!(said.contains("batch/report: allowed"), "{said}");
    assert!(said.contains("pods"), "status is there too: {said}");
    let answer = get(agent.addr(), ADDRESS, CREDENTIALS);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(lab.sts.assumed("arn:aws:iam::123456789012:role/pods/report"), 1);
    let build = "RUSTFLAGS=-C target-feature=+crt-static cargo build --release --target x86_64-unknown-linux-gnu";
    assert_eq!(run.calls("cargo"), ["cargo run --example playground", "cargo test", build]);
    assert_eq!(run.calls("docker").last().unwrap(), &format!("docker push {IMAGE}"));
}

/// The pod's role trusts the nodes' role, which may assume it.
fn policies_are_what_the_agent_needs(run: &Run) {
    let statement = |name| -> Value {
        let policy: Value = serde_json::from_str(&run.left(name)).unwrap();
        assert_eq!(policy["Version"], "2012-10-17");
        policy["Statement"][0].clone()
    };
    let pods = "arn:aws:iam::123456789012:role/pods/*";
    let allowed = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": pods});
    assert_eq!(statement("permissions.json"), allowed);
    let nodes = json!({"AWS": "arn:aws:iam::123456789012:role/eks-node"});
    let trusted = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": nodes});
    assert_eq!(statement("trust.json"), trusted);
    let created = run.calls("aws").into_iter().find(|call| call.contains("create-role")).unwrap();
    assert!(created.contains("--path /pods/ --role-name report "), "{created}");
    assert_eq!(role_of_the_pod(), "pods/report");
}

/// What was applied is the agent with the README's image; what is deleted takes the redirect away first.
fn manifests_are_the_agents(run: &Run) {
    let (applied, deleted) = (run.left("rendered-apply"), run.left("rendered-delete"));
    for part in [&format!("image: {IMAGE}"), "--events", "kind: DaemonSet", "--redirect-on-exit=remove"] {
        assert!(applied.contains(part), "no `{part}` in\n{applied}");
    }
    assert_eq!(applied, deleted);
}

/// Rendered by Helm's own library, with the values that the README's line sets.
#[test]
fn the_helm_line_of_the_readme_renders() {
    let Some(python) = tools::python() else { return };
    let script = script().replace("\\\n", " ").replace("$IMAGE", "registry.example.com/kube2iam");
    let lines: Vec<&str> = script.lines().filter(|line| line.starts_with("helm ")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let mut values = json!({});
    for pair in lines[0].split("--set ").skip(1) {
        let (path, value) = pair.trim().split_once('=').unwrap();
        let place = path.split('.').fold(&mut values, |place, key| &mut place[key]);
        *place = if value == "true" { json!(true) } else { json!(value) };
    }
    let chart = lines[0].split(' ').find(|word| word.starts_with("manifests/")).unwrap();
    let request = json!({"chart": top().join(chart), "cases": [values]});
    let rendered = tools::run_python(&python, "tests/manifests/chart.py", &request.to_string());
    for part in [IMAGE, "--events"] {
        assert!(rendered.contains(part), "no `{part}` in {rendered}");
    }
    assert!(rendered.contains(r#""lint": []"#), "{rendered}");
}

/// `.ci/run` and a newcomer take the same line.
#[test]
fn the_first_command_is_the_playground() {
    let first = page::read("README.md").blocks().remove(0);
    let line = first.text.lines().next().unwrap();
    let example = line.strip_prefix("cargo run --example ").unwrap().split(' ').next().unwrap();
    assert!(Path::new(&top().join(format!("tests/{example}.rs"))).exists(), "{example} has no test");
    let ci = fs::read_to_string(top().join(".ci/run")).unwrap();
    assert!(ci.contains("grep -m1 '^cargo run --example' README.md"), "`.ci/run` no longer runs it");
}
