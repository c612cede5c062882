//! `cargo run --example playground`: the real agent among stand-ins, with three pods to play. Needs no cluster, no AWS
//! account and no rights. `-- --once` ends after the play.
//!
//! The agent runs as a process of its own: this program starts itself once more with the word `kube2iam` and joins the
//! library there (`kube2iam_process.rs`), so that flags, environment, signals and log are those of the real thing.

#![allow(unreachable_pub, reason = "nothing is outside of an example")]
#![allow(clippy::disallowed_methods, reason = "it has a clock of its own, as the stand-ins have")]

mod cluster;
mod command;
mod effect;
mod kube2iam_process;
mod page;
mod play;
#[path = "../standins/mod.rs"]
mod standins;
mod turn;
mod workspace;

use std::io::Write;
use std::panic::{PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cluster::Cluster;
use page::Page;
use standins::agent::Agent;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(kube2iam_process::WORD) => kube2iam_process::run(arguments.collect()),
        Some("--once") => run(Ending::AfterThePlay),
        None => run(Ending::OnRequest),
        Some("--help" | "-h" | "help") => {
            Page::stdout().line(USAGE);
            ExitCode::SUCCESS
        }
        Some(_) => {
            say_why(USAGE);
            ExitCode::from(64)
        }
    }
}

/// When the playground closes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    AfterThePlay,
    OnRequest,
}

/// Whatever goes wrong, here or in a stand-in, is one line on standard error.
fn run(ending: Ending) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| say_why(&format!("playground: {}", one_line(panic)))));
    match catch_unwind(|| open(ending)) {
        Ok(Ok(code)) => code,
        Ok(Err(cause)) => {
            say_why(&format!("playground: failed to make a place for its files: {cause}"));
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn open(ending: Ending) -> std::io::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let page = Page::stdout();
    let cluster = Cluster::start()?;
    let agent = cluster.start_agent();
    cluster.introduce(&page, &agent);
    let wrong = play::play(&page, &cluster.lab, &agent) + cluster.explain(&page);
    show_log_line(&page, &agent);
    if wrong > 0 {
        page.line(&format!("  {wrong} answers are not what they should be."));
        return Ok(ExitCode::FAILURE);
    }
    if ending == Ending::OnRequest {
        turn::invite(&page, &cluster, &agent);
        turn::take(&page, &cluster, &agent, &stop);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the refused request left in the agent's log; an answer may be here before its line is.
fn show_log_line(page: &Page, agent: &Agent) {
    page.heading("And in its log");
    page.log_line(&agent.wait_for_log("reason=role_not_allowed"));
}

/// The first line of a panic's message, and its last: of an agent that didn't start, that's what it said.
fn one_line(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("failed");
    let mut lines = message.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or("failed").to_owned();
    lines.next_back().map_or(first.clone(), |last| format!("{first} {last}"))
}

fn say_why(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

const USAGE: &str = "usage: cargo run --example playground [-- --once]";
