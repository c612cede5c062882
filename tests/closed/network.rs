//! A network of a test's own: a loopback interface, nothing else, and rules that hurt nobody.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` on a thread in a network namespace of its own; the threads and programs it starts are there too.
pub fn in_private_network(work: impl FnOnce() + Send) {
    if let Some(missing) = missing() {
        return skip(&missing);
    }
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter();
            run("ip", &["link", "set", "lo", "up"]);
            work();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Says aloud that a test wasn't run; with `CI` set that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test can't be skipped here: {why}");
    // Straight to stderr: what a passing test prints by macro is never seen.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED, NOT TESTED: {why}\n");
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a private network takes root".to_owned());
    }
    let absent = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    ["ip", "nft"].into_iter().find(absent).map(|tool| format!("a private network takes `{tool}`"))
}

/// The namespace lives as long as somebody is in it; its name is gone at once.
fn enter() {
    let name = format!("kube2iam-closed-{:?}", std::thread::current().id()).replace(['(', ')'], "-");
    let name = format!("{name}{}", std::process::id());
    run("ip", &["netns", "add", &name]);
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    run("ip", &["netns", "delete", &name]);
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Lets `nft` read rules.
pub fn rules(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft takes no rules like\n{text}");
}
