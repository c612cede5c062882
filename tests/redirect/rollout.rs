//! Rollouts from one overlay of the manifests to another, with the users, capabilities, arguments and init containers that
//! they name, under load from a pod.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use yaml_rust2::{Yaml, YamlLoader};

use crate::lab::{METADATA_V4, ready, text};
use crate::site::{Capability, ROLE_LIST, Site, v4};
use crate::standins::PATIENCE;
use crate::standins::agent::{Agent, Setup, Until, test_binary};
use crate::standins::client::{Ask, TOKEN_HEADER, token};
use crate::tools;

/// The base with container credentials and the component that makes agents take everything away when they end.
const UNINSTALL: &str = "components/uninstall";
const ORDER: [&str; 8] = [
    "overlays/non-root",
    "overlays/calico",
    "overlays/bootstrap",
    "overlays/non-root",
    "overlays/bootstrap",
    "base",
    "overlays/non-root",
    "base",
];

/// A container of an overlay, as the node starts it.
fn program(container: &Yaml, state: &Path) -> Setup {
    let rights = &container["securityContext"];
    let id = |key: &str| rights[key].as_i64().unwrap();
    let ids = [format!("--reuid={}", id("runAsUser")), format!("--regid={}", id("runAsGroup"))];
    let added = rights["capabilities"]["add"].as_vec().map_or(0, Vec::len);
    let bounds = if added == 0 { "--bounding-set=-all" } else { "--bounding-set=-all,+net_admin" };
    let binary = test_binary().to_str().unwrap();
    let confined = ["--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", bounds, binary];
    Setup::of(Path::new("/usr/bin/setpriv")).flags(&[&ids[0], &ids[1]]).flags(&confined).flags(&words(container, state))
}

fn words<'a>(container: &Yaml, state: &Path) -> Vec<&'a str> {
    let state = state.to_str().unwrap();
    let expanded = |word: &Yaml| {
        let word = word.as_str().unwrap().replace("$(NODE_NAME)", "node-1").replace("$(HOST_IP)", "10.77.0.2");
        let word = word.replace("$(KUBE2IAM_BASE_ARN_FLAG)", "--auto-discover-base-arn");
        word.replace("/state", state)
    };
    let words = container["args"].as_vec().unwrap().iter().map(expanded);
    // Each pod has a directory of its own for that.
    words.filter(|word| !word.starts_with("--control-socket")).map(|word| &*word.leak()).collect()
}

/// The containers of an overlay's pod: those that end before the agent starts, and the agent.
fn containers(kubectl: &Path, overlay: &str) -> (Vec<Yaml>, Yaml) {
    let built = match overlay {
        UNINSTALL => base_to_uninstall(),
        overlay => tools::project().join("manifests").join(overlay),
    };
    let text = tools::stdout_of(Command::new(kubectl).arg("kustomize").arg(built));
    let objects = YamlLoader::load_from_str(&text).unwrap();
    let set = objects.iter().find(|object| object["kind"].as_str() == Some("DaemonSet")).unwrap();
    let pod = &set["spec"]["template"]["spec"];
    (pod["initContainers"].as_vec().cloned().unwrap_or_default(), pod["containers"][0].clone())
}

/// A kustomization of a user's own; kustomize reads no absolute paths, so the tree is copied beside it.
fn base_to_uninstall() -> PathBuf {
    let dir = tools::empty_dir(&format!("uninstall-{}", std::process::id()));
    let manifests = tools::project().join("manifests");
    let parts = ["base", UNINSTALL, "components/container-credentials"].map(|part| manifests.join(part));
    tools::run(Command::new("cp").arg("-r").args(parts).arg(&dir)).unwrap();
    let text = "resources: [base]\ncomponents: [container-credentials, uninstall]\n";
    std::fs::write(dir.join("kustomization.yaml"), text).unwrap();
    dir
}

fn start(site: &Site, kubectl: &Path, overlay: &str, state: &Path) -> Agent {
    let (first, agent) = containers(kubectl, overlay);
    for container in &first {
        let ended = site.node(|| program(container, state).run());
        assert_eq!(ended.code, Some(0), "{overlay}: {ended:?}");
    }
    let agent = site.standins().configure(program(&agent, state)).until(Until::Started).port(8181);
    let mut agent = site.start(agent);
    agent.wait_for_log("listening");
    site.node(|| agent.wait_ready());
    agent
}

/// Asks as pod 1 until it is told to stop, with one token; gives what went wrong.
fn ask_on(token: &str, answered: &AtomicUsize, stopped: &AtomicBool) -> Vec<String> {
    let mut failures = Vec::new();
    let credentials = format!("{ROLE_LIST}app-1");
    for path in [ROLE_LIST, &credentials].iter().cycle() {
        if stopped.load(Ordering::Relaxed) {
            return failures;
        }
        let ask = Ask::get(path).header(TOKEN_HEADER, token).header("Connection", "close");
        let asked = std::panic::catch_unwind(|| ask.send(METADATA_V4.parse().unwrap(), &v4(1)));
        match asked {
            Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
            Ok(answer) => failures.push(format!("{path}: {} {}", answer.status, answer.text())),
            Err(_) => failures.push(format!("{path}: no answer, see above")),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    failures
}

/// Ends the load, also when the test fails before.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn go_on_for(answered: &AtomicUsize, requests: usize) {
    let (goal, late) = (answered.load(Ordering::Relaxed) + requests, Instant::now() + PATIENCE);
    while answered.load(Ordering::Relaxed) < goal && Instant::now() < late {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_rollout_between_any_two_overlays_loses_no_request() {
    if !ready() {
        return;
    }
    let Some(kubectl) = tools::find("kubectl", "kubectl 1.22 or newer") else { return };
    let site = Site::new(&["cali1"]);
    let state: PathBuf = std::env::temp_dir().join(format!("kube2iam-rollout-{}", std::process::id()));
    std::fs::create_dir(&state).unwrap();
    let mut running = start(&site, &kubectl, "base", &state);
    let token = site.inside("pod1", || token(METADATA_V4.parse().unwrap(), &v4(1)));
    let (answered, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failures = std::thread::scope(|scope| {
        let load = scope.spawn(|| site.inside("pod1", || ask_on(&token, &answered, &stopped)));
        let stop = Stop(&stopped);
        for overlay in ORDER {
            let next = start(&site, &kubectl, overlay, &state);
            go_on_for(&answered, 50);
            assert_eq!(running.stop().status.code(), Some(0));
            go_on_for(&answered, 50);
            running = next;
        }
        drop(stop);
        load.join().unwrap()
    });
    assert_eq!(failures, Vec::<String>::new(), "of {}", answered.load(Ordering::Relaxed));
    assert!(answered.load(Ordering::Relaxed) >= 100 * ORDER.len());
    running.stop();
    let _ = std::fs::remove_dir_all(state);
}

#[test]
fn what_lies_in_the_state_directory_goes_with_the_redirect() {
    if !ready() {
        return;
    }
    let site = Site::new(&["cali1"]);
    let state = std::env::temp_dir().join(format!("kube2iam-uninstalled-{}", std::process::id()));
    let flag = format!("--state-dir={}", state.display());
    let start = || {
        let setup = site.setup(Capability::NetAdmin).flags(&[&flag, "--redirect-on-exit=remove"]);
        let agent = site.start(setup.until(Until::Started));
        agent.wait_for_log("listening");
        agent
    };
    let (mut old, mut last) = (start(), start());
    old.stop();
    assert!(state.join("token-keys").exists(), "the last agent needs it still");
    last.stop();
    assert!(!state.exists());
}

/// Agents of the overlays without capabilities can't remove what stands: the base does it in their place.
#[test]
fn an_uninstall_leaves_nothing_on_the_node_whatever_ran_before() {
    if !ready() {
        return;
    }
    let Some(kubectl) = tools::find("kubectl", "kubectl 1.22 or newer") else { return };
    let site = Site::new(&["cali1"]);
    let state: PathBuf = std::env::temp_dir().join(format!("kube2iam-uninstall-{}", std::process::id()));
    for before in ["base", "overlays/non-root"] {
        std::fs::create_dir(&state).unwrap();
        let mut running = start(&site, &kubectl, before, &state);
        let mut last = start(&site, &kubectl, UNINSTALL, &state);
        assert_eq!(running.stop().status.code(), Some(0));
        let addresses = || site.ip("node", &["-4", "addr"]);
        assert!(addresses().contains("169.254.170.2"), "{before}: {}", addresses());
        let status = site.command(&["redirect", "status"]);
        assert_eq!(status.code, Some(0), "{before}: nothing goes before the last agent ends: {status:?}");
        assert_eq!(last.stop().status.code(), Some(0));
        let status = site.command(&["redirect", "status"]);
        assert_eq!(status.code, Some(1), "{before}: {status:?}");
        assert_eq!(site.ask("pod1", METADATA_V4), text("canary"), "{before}");
        assert!(!addresses().contains("169.254.170.2"), "{before}: {}", addresses());
        assert!(!site.nft(&["list", "tables"]).contains("kube2iam"), "{before}");
        assert!(!state.exists(), "{before}");
    }
}
