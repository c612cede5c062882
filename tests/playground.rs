//! The first command that a newcomer runs, used as it says it can be used.
//!
//! The example is taken to an empty directory before it runs: what else cargo has built must not help it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test fails loudly")]

#[path = "standins/mod.rs"]
mod standins;
#[path = "tools/mod.rs"]
mod tools;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use standins::process::{run, run_well};
use tools::{empty_dir, find, project};

/// Includes the build of the example, where cargo hasn't made it yet.
const LIMIT: Duration = Duration::from_secs(300);
const LINE_LIMIT: Duration = Duration::from_secs(60);
const LAST_INVITATION: &str = "  quit ";

/// The example, with nothing beside it.
fn example() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "playground", "--message-format=json"]);
        let messages = run_well(build.current_dir(project()), LIMIT).unwrap_or_else(|cause| panic!("{cause}"));
        let built = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let built = built.filter(|message| message["target"]["name"] == "playground");
        let file = built.filter_map(|message| Some(message["executable"].as_str()?.to_owned())).next_back();
        let alone = empty_dir("playground-alone").join("playground");
        fs::copy(file.expect("cargo names the file it built"), &alone).unwrap();
        alone
    })
}

/// A playground that goes on after the play, with what it has printed so far.
struct Playground {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Playground {
    fn open() -> Self {
        let mut command = Command::new(example());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        standins::wire::spawn("lines", move || {
            stdout.lines().map_while(Result::ok).take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        let stdin = child.stdin.take().unwrap();
        let mut playground = Self { child, stdin, lines, printed: Vec::new() };
        playground.read_until(LAST_INVITATION);
        playground
    }

    fn read_until(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LINE_LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no `{part}` in:\n{}", self.printed.join("\n")));
            self.printed.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Everything printed has been seen; the process has ended.
    fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        kill_process(pid(self.child.id()), signal).unwrap();
        self.printed.extend(self.lines.iter());
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.printed))
    }

    fn log(&self) -> String {
        let lines = self.lines_for_another_terminal();
        lines.iter().find_map(|line| Some(line.strip_prefix("tail -f ")?.to_owned())).expect("the log is named")
    }

    /// The commands below the heading, where a backslash joins a line with the next.
    fn lines_for_another_terminal(&self) -> Vec<String> {
        let text = self.printed.join("\n").replace("\\\n", "");
        let text = text.split("lines for another terminal").nth(1).unwrap();
        let text = text.split("Your turn").next().unwrap();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.child.id()), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn children(of: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    list.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn assert_fits_80_columns<'a>(lines: impl IntoIterator<Item = &'a str>) {
    let long: Vec<&str> = lines.into_iter().filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "longer than 80 columns:\n{}", long.join("\n"));
}

#[test]
fn the_playground_needs_no_other_file_that_cargo_builds() {
    let printed = run_well(Command::new(example()).arg("--once"), LIMIT).unwrap_or_else(|cause| panic!("{cause}"));
    assert!(printed.contains("ASIASTANDIN"), "no credentials in:\n{printed}");
    assert!(printed.contains("shop/curious: refused (role_not_allowed)"), "no explanation in:\n{printed}");
    assert!(printed.contains("fix: list `admin`"), "no remedy in:\n{printed}");
    assert!(printed.contains("reason=role_not_allowed"), "nothing of the log in:\n{printed}");
    assert!(printed.contains("token_other_pod"), "no refusal of another pod's token in:\n{printed}");
    assert!(!printed.contains(standins::STS_CANARY), "a secret is shown whole:\n{printed}");
    assert_fits_80_columns(printed.lines());
}

#[test]
fn every_line_that_the_playground_prints_can_be_pasted() {
    let Some(_) = find("curl", "Debian: curl") else { return };
    let playground = Playground::open();
    assert_fits_80_columns(playground.printed.iter().map(String::as_str));
    let lines = playground.lines_for_another_terminal();
    assert!(lines.len() > 12, "{lines:?}");
    let token = lines.iter().find(|line| line.starts_with("TOKEN=")).unwrap();
    for line in lines.iter().filter(|line| !line.starts_with("TOKEN=")) {
        let line = line.replace("tail -f", "cat");
        let script = if line.contains("$TOKEN") { format!("{token}\n{line}") } else { line };
        let output = run(Command::new("sh").args(["-c", &script]), LINE_LIMIT).unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.len() > 2, "{script}: {output:?}");
        assert!(printed.ends_with('\n'), "{script} leaves the prompt at the end of its answer: {printed:?}");
        assert!(!script.contains("$TOKEN") || printed.contains("AccessKeyId"), "{script}: {printed}");
    }
}

#[test]
fn what_is_typed_into_the_playground_is_seen_to_heal() {
    let mut playground = Playground::open();
    playground.type_line("sts off");
    let kept = playground.read_until("shop/web");
    assert!(kept.contains("as before: role web, key ASIA"), "credentials are kept through an outage: {kept}");
    playground.read_until("shop/curious  as before: 404 role_not_allowed");
    playground.type_line("kubectl annotate pod curious -n shop --overwrite iam.amazonaws.com/role=cart-7");
    playground.read_until("was: 404 role_not_allowed");
    playground.read_until("now: role cart-7, 503");
    playground.type_line("sts on");
    playground.read_until("was: role cart-7, 503");
    playground.read_until("now: role cart-7, key ASIA");
    playground.type_line("sts on");
    playground.read_until("shop/curious  as before: role cart-7, key ASIA");
    playground.type_line(r#"kubectl annotate namespace shop --overwrite 'iam.amazonaws.com/allowed-roles=["web"]'"#);
    playground.read_until("now: 404 role_not_allowed");
    playground.type_line("reboot");
    playground.read_until("These are the commands here");
    playground.read_until(LAST_INVITATION);
    playground.type_line("quit");
    playground.printed.extend(playground.lines.iter());
    assert!(playground.child.wait().unwrap().success());
    assert_fits_80_columns(playground.printed.iter().map(String::as_str));
}

#[test]
fn ctrl_c_ends_the_playground_with_its_agent_and_its_files_while_another_runs_on() {
    let (first, second) = (Playground::open(), Playground::open());
    // Neither shares its port with other processes.
    let said = fs::read_to_string(first.log()).unwrap();
    assert!(!said.contains("SO_REUSEPORT"), "{said}");
    let agents = children(first.child.id());
    assert_eq!(agents.len(), 1, "the agent runs as a process of its own");
    let status = fs::read_to_string(format!("/proc/{}/status", agents[0])).unwrap();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
    let rights = u64::from_str_radix(rights.trim(), 16).unwrap();
    assert_eq!(rights & (1 << 12), 0, "it can't change this machine's network (CAP_NET_ADMIN is 12)");
    let directory = Path::new(&first.log()).parent().unwrap().to_owned();
    assert!(directory.is_dir());
    let (code, _) = first.end(Signal::INT);
    assert_eq!(code, Some(0));
    assert!(!Path::new(&format!("/proc/{}", agents[0])).exists(), "the agent is gone");
    assert!(!directory.exists(), "{} is gone", directory.display());
    assert_eq!(children(second.child.id()).len(), 1);
    assert_eq!(second.end(Signal::TERM).0, Some(0));
}

#[test]
fn the_playground_that_cannot_start_says_why_in_one_line() {
    let missing = run(Command::new(example()).env("TMPDIR", "/nonexistent"), LINE_LIMIT).unwrap();
    // Longer than the path of a Unix socket may be: the agent itself doesn't start.
    let deep = empty_dir(&format!("playground-{}", "x".repeat(100)));
    let unready = run(Command::new(example()).env("TMPDIR", &deep), LINE_LIMIT).unwrap();
    for output in [missing, unready] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("playground: ") && said.lines().count() == 1, "{said}");
    }
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0, "it leaves nothing behind");
}

#[test]
fn the_playground_explains_its_command_line() {
    for (word, code) in [("--help", 0), ("-h", 0), ("--twice", 64)] {
        let output = run(Command::new(example()).arg(word), LINE_LIMIT).unwrap();
        assert_eq!(output.status.code(), Some(code), "{word}");
        let printed = if code == 0 { &output.stdout } else { &output.stderr };
        assert!(printed.starts_with(b"usage: cargo run --example playground"), "{word}");
    }
}
