//! The reader's turn: lines for another terminal, commands to type here, and what they bring about.

use std::io::{BufRead, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cluster::{Cluster, PODS, REPORT, WEB};
use crate::command::Command;
use crate::effect;
use crate::page::Page;
use crate::standins::agent::Agent;
use crate::standins::wire::spawn;

/// Lines to be copied. Each fits 80 columns, and each answer ends with a newline.
pub fn invite(page: &Page, cluster: &Cluster, agent: &Agent) {
    let base = format!("{}/latest", agent.addr());
    let curl = |address: &str| format!("curl -s -w '\\n' --interface {address}");
    page.heading("Your turn: lines for another terminal");
    for pod in PODS {
        page.line(&format!("  # as {}: which role, and its credentials", pod.title()));
        for role in ["", pod.role] {
            page.line(&format!("  {} \\\n    {base}/meta-data/iam/security-credentials/{role}", curl(pod.address)));
        }
        page.line("");
    }
    page.line("  # the same with a session token (IMDSv2)");
    page.line(&format!("  TOKEN=$(curl -s -X PUT --interface {} \\", WEB.address));
    page.line(&format!("    -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' \\\n    {base}/api/token)"));
    page.line(&format!("  {} \\", curl(WEB.address)));
    page.line("    -H \"X-aws-ec2-metadata-token: $TOKEN\" \\");
    page.line(&format!("    {base}/meta-data/iam/security-credentials/web\n"));
    page.line("  # the other way in: by a ServiceAccount token (good for ten minutes)");
    page.line(&format!("  {} \\", curl(WEB.address)));
    page.line(&format!("    -H \"Authorization: $(cat {})\" \\", cluster.workspace.token().display()));
    page.line(&format!("    http://{}/v1/credentials\n", agent.addr()));
    page.line("  # other metadata");
    page.line(&format!("  {} \\\n    {base}/meta-data/\n", curl(WEB.address)));
    page.line("  # as the operator of the node");
    page.line(&format!("  curl -s -w '\\n' {}/healthz\n  curl -s {}/metrics", agent.addr(), agent.addr()));
    let kube2iam = cluster.workspace.command();
    for words in [&format!("explain {}", REPORT.title()), "status", "log-level debug"] {
        page.line(&format!("  {} {words}", kube2iam.display()));
    }
    page.line(&format!("\n  # what kube2iam logs\n  tail -f {}\n", cluster.workspace.log().display()));
    page.heading("Your turn: commands to type here");
    page.line(&format!("{}\n", Command::USAGE));
}

/// Carries out what is typed, until `stop` is set or `quit` comes.
pub fn take(page: &Page, cluster: &Cluster, agent: &Agent, stop: &AtomicBool) {
    let typed = typed_lines();
    while !stop.load(Ordering::Relaxed) {
        match typed.recv_timeout(LOOK_UP) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => match Command::parse(&line) {
                Ok(Command::Quit) => return,
                Ok(command) => effect::bring_about(page, cluster, agent, &command),
                Err(cause) => page.text(&cause),
            },
            Err(RecvTimeoutError::Timeout) => {}
            // End of the input, as where there is none: what is here can still be asked from elsewhere.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_UP),
        }
    }
    page.line("");
}

/// Lines of standard input, until its end.
fn typed_lines() -> Receiver<String> {
    let (lines, typed) = channel();
    spawn("typed", move || {
        let mut stdin = std::io::stdin().lock();
        let mut line = String::new();
        loop {
            // Reading from a terminal stops a process in the background (`cargo run ... &`).
            if stdin.is_terminal() && !(in_foreground() && is_readable(&stdin)) {
                std::thread::sleep(LOOK_UP);
                continue;
            }
            line.clear();
            match stdin.read_line(&mut line) {
                Ok(1..) if lines.send(line.clone()).is_ok() => {}
                _ => return,
            }
        }
    });
    typed
}

fn is_readable(stdin: &std::io::StdinLock<'_>) -> bool {
    let mut wanted = [PollFd::new(stdin, PollFlags::IN)];
    poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Whether this process's group is the one in the foreground of its terminal (proc_pid_stat(5): pgrp and tpgid).
fn in_foreground() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.get(2) == fields.get(5)
}

/// How soon Ctrl-C is noticed.
const LOOK_UP: Duration = Duration::from_millis(100);
