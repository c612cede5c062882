//! `cargo run --example playground`: the real agent among stand-ins, with three pods to play. Needs no cluster, no AWS
//! account and no rights. `-- --once` ends after the play.
//!
//! The agent runs as a process of its own: this program starts itself once more with the word `agent` and joins the
//! library there (`agent_process`), so that flags, environment, signals and log are those of the real thing.

#![allow(unreachable_pub, reason = "nothing is outside of an example")]

mod agent_process;
mod page;
mod scene;
#[path = "../standins/mod.rs"]
mod standins;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use page::Page;
use scene::Scene;
use standins::agent::Agent;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("agent") => agent_process::run(arguments.collect()),
        Some("--once") => play(Ending::AfterThePlay),
        None => play(Ending::WhenTold),
        Some(_) => {
            Page::stdout().line("usage: cargo run --example playground [-- --once]");
            ExitCode::from(64)
        }
    }
}

/// When the playground closes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    AfterThePlay,
    WhenTold,
}

fn play(ending: Ending) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).expect("signals can be caught");
    }
    let page = Page::stdout();
    let scene = Scene::set();
    let agent = scene.start_agent();
    scene.introduce(&page, &agent);
    let missteps = scene.play(&page, &agent) + scene.explain(&page);
    // an answer may be here before its line is
    agent.wait_for_log(scene.last_path());
    let logged = show_log(&page, &agent);
    if missteps > 0 {
        page.line(&format!("  {missteps} answers are not what they should be."));
        return ExitCode::FAILURE;
    }
    if ending == Ending::WhenTold {
        scene.invite(&page, &agent);
        follow_log(&page, &agent, logged, &stop);
    }
    ExitCode::SUCCESS
}

/// Shows what the agent has logged so far, and tells how many lines that were.
fn show_log(page: &Page, agent: &Agent) -> usize {
    let lines = agent.log();
    page.heading("What kube2iam logged meanwhile");
    for line in &lines {
        page.log_line(line);
    }
    page.line("");
    lines.len()
}

/// Shows the log as it grows, until told to stop or the agent ends.
fn follow_log(page: &Page, agent: &Agent, mut shown: usize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for line in agent.log_from(shown, LOOK_UP) {
            page.log_line(&line);
            shown += 1;
        }
    }
    page.line("");
}

/// How soon Ctrl-C is noticed.
const LOOK_UP: Duration = Duration::from_millis(200);
