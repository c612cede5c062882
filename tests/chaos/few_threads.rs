//! A limit on threads, as a pids cgroup or `ulimit -u` sets it: what the start needs, and what serving does.

use std::path::{Path, PathBuf};

use super::limits::{UTIL_LINUX, besieged, binary_for_all, make_readable, status};
use super::random;
use super::site::{Site, connections};
use super::standins::agent::{Setup, free_port};
use super::tools;

/// Runs a program as this user, who may have so many threads. Root has as many as it likes.
fn limited(tools: &(PathBuf, PathBuf), user: &str, threads: u64, site: &Site, binary: &Path) -> Setup {
    let (setpriv, prlimit) = tools;
    let user = ["--reuid", user, "--regid", user, "--clear-groups"];
    let limit = format!("--nproc={threads}:{threads}");
    let program = [&*prlimit.to_string_lossy(), &limit, &*binary.to_string_lossy()].map(str::to_owned);
    site.configure(Setup::of(setpriv).flags(&user).flags(&program.each_ref().map(String::as_str)))
}

fn limiting_tools() -> Option<(PathBuf, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        tools::skip("a limit on threads (needs root, to be somebody else)");
        return None;
    }
    Some((tools::find("setpriv", UTIL_LINUX)?, tools::find("prlimit", UTIL_LINUX)?))
}

#[test]
fn with_too_few_threads_the_start_fails_with_one_line() {
    let Some(tools) = limiting_tools() else { return };
    let site = Site::set_up(&mut random::of_run());
    let needed = status(&site.setup().start(), "Threads");
    make_readable(&site);
    let binary = binary_for_all(&site);
    // Near the number that is needed it depends on what has already ended again.
    for threads in 1..needed - 4 {
        let port = format!("--app-port={}", free_port());
        let outcome = limited(&tools, "64124", threads, &site, &binary).flags(&[&port]).run();
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert_eq!(outcome.code, Some(1), "{threads} threads: {}", outcome.stderr);
        assert!(last.starts_with("kube2iam: failed to ") && last.contains("no more threads"), "{threads}: {last}");
        assert!(!outcome.stderr.contains("panicked"), "{threads} threads: {}", outcome.stderr);
    }
}

#[test]
fn thirty_two_threads_suffice_to_start_and_to_serve() {
    let Some(tools) = limiting_tools() else { return };
    let site = Site::set_up(&mut random::of_run());
    make_readable(&site);
    let agent = limited(&tools, "64125", 32, &site, &binary_for_all(&site)).start();
    let agent = besieged(site, agent, |_| {});
    assert!(status(&agent, "Threads") <= 32);
    assert!(connections(&agent, "evicted") + connections(&agent, "refused") > 0, "the limit was never reached");
}
