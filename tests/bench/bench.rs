//! `cargo bench`: every number that `manifests/docs/promises.md` promises about speed and size, measured on the built binary.
//!
//! Without words all scenes run; `cargo bench -- rates memory` runs those two. Rates are set against nginx in the same
//! run, since machines differ and are seldom quiet. Needs Debian's `wrk`, `nginx-light` and, for `instructions`,
//! `valgrind`. `KUBE2IAM_BENCH_BINARY` measures another binary, such as the static one that is shipped. The exit code
//! is 1 if a target was missed and `KUBE2IAM_BENCH_STRICT` is set: numbers of a busy machine prove nothing by themselves.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures: it fails loudly and has a clock of its own"
)]

mod crowd;
mod events;
mod instructions;
mod memory;
mod proc;
mod rates;
mod report;
#[path = "../standins/mod.rs"]
mod standins;
mod start;
mod subject;
mod tail;
mod wrk;

use std::process::ExitCode;

use report::Report;

type Scene = fn(&mut Report);

const SCENES: [(&str, Scene); 7] = [
    ("rates", rates::run),
    ("start", start::run),
    ("events", events::run),
    ("crowd", crowd::run),
    ("memory", memory::run),
    ("tail", tail::run),
    ("instructions", instructions::run),
];

fn main() -> ExitCode {
    // cargo adds words of its own, such as `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|word| !SCENES.iter().any(|(name, _)| name == word)) {
        println!("there is no scene `{unknown}`: {}", SCENES.map(|(name, _)| name).join(", "));
        return ExitCode::from(64);
    }
    let mut report = Report::default();
    for (name, scene) in SCENES {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            report.begin(name);
            scene(&mut report);
        }
    }
    if report.missed() > 0 && std::env::var_os("KUBE2IAM_BENCH_STRICT").is_some() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
