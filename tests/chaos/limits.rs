//! Too few descriptors, too few threads, too little address space, and a crowd that takes what there is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::clients::{Clients, Silence};
use super::random;
use super::site::{Pod, Site, connections, crowd};
use super::standins::agent::{Agent, Setup, test_binary};
use super::standins::kubernetes::{Break, Kind};
use super::tools;

const PODS: usize = 4;
/// More than any of the limits here lets in.
const CROWD: usize = 300;
/// Nobody's number.
const STRANGER: &str = "64123";
pub const UTIL_LINUX: &str = "Debian: util-linux";

/// Sets a limit of a running agent.
fn limit(agent: &Agent, resource: Resource, current: u64) {
    let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap()).unwrap();
    let before = prlimit(Some(pid), resource, Rlimit { current: Some(current), maximum: Some(current) }).unwrap();
    println!("{resource:?}: {current} instead of {before:?}");
}

/// A number of `/proc/PID/status`.
pub fn status(agent: &Agent, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// Open descriptors; root alone sees them, since the agent lets nobody look into it.
pub fn descriptors(agent: &Agent) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).ok()?;
    u64::try_from(open.count()).ok()
}

/// Lets crowds come and go around an agent that is short of something, while pods ask and their sessions end.
pub fn besieged(site: Site, mut agent: Agent, shorten: impl Fn(&Agent)) -> Agent {
    let mut pods = site.add_pods(PODS);
    site.await_all(&agent, &pods);
    shorten(&agent);
    let site = Arc::new(site);
    let clients = Clients::start(agent.addr(), &pods, &site, Silence::Allowed);
    for round in 0..2 {
        let crowd = crowd(agent.addr(), CROWD);
        site.lab.kubernetes.break_watches(Kind::Pod, Break::Close);
        let newcomer = Pod::number(PODS + 1 + round);
        site.lab.kubernetes.add_pod(newcomer.spec());
        // With the crowd at the door: whoever is known is served, be it at the third try.
        site.await_all(&agent, &pods);
        drop(crowd);
        pods.push(newcomer);
        site.await_all(&agent, &pods);
    }
    assert!(clients.end() > 0);
    site.assert_sound(&mut agent);
    agent
}

#[test]
fn too_few_descriptors() {
    let site = Site::set_up(&mut random::of_run());
    let agent = site.setup().start();
    let agent = besieged(site, agent, |agent| {
        limit(agent, Resource::Nofile, descriptors(agent).unwrap_or(40) + 20);
    });
    assert!(connections(&agent, "accept_failed") > 0, "the limit was never reached");
}

#[test]
fn too_few_threads() {
    if !rustix::process::geteuid().is_root() {
        tools::skip("a limit on threads (needs root, to be somebody else)");
        return;
    }
    let (Some(setpriv), Some(prlimit)) = (tools::find("setpriv", UTIL_LINUX), tools::find("prlimit", UTIL_LINUX))
    else {
        return;
    };
    let site = Site::set_up(&mut random::of_run());
    let threads = status(&site.setup().start(), "Threads");
    println!("{threads} threads without anybody at the door");
    make_readable(&site);
    // Root has as many as it likes.
    let to_be = ["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", &prlimit.display().to_string()];
    let limit = format!("--nproc={0}:{0}", threads + 6);
    let setup = Setup::of(&setpriv).flags(&to_be).flags(&[&limit, &binary_for_all(&site).display().to_string()]);
    let agent = site.configure(setup).start();
    let agent = besieged(site, agent, |_| {});
    assert!(connections(&agent, "evicted") + connections(&agent, "refused") > 0, "the limit was never reached");
}

#[test]
fn too_little_address_space() {
    let site = Site::set_up(&mut random::of_run());
    let agent = site.setup().start();
    let agent = besieged(site, agent, |agent| {
        limit(agent, Resource::As, status(agent, "VmSize") * 1024 + ADDRESS_SPACE);
    });
    assert!(connections(&agent, "evicted") + connections(&agent, "refused") > 0, "the limit was never reached");
}

/// The program where every user may run it.
pub fn binary_for_all(site: &Site) -> PathBuf {
    let copy = site.directory().join("kube2iam");
    fs::copy(test_binary(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

pub fn make_readable(site: &Site) {
    for path in [site.directory().clone(), site.directory().join("config"), site.directory().join("ca.crt")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A few dozen stacks.
const ADDRESS_SPACE: u64 = 24 * 1024 * 1024;
