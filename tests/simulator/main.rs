//! The simulator: the agent's real rooms and threads, among simulated ports, in virtual time. A seed decides
//! everything: who runs next at every bell and every call, what the cluster does, and which troubles there are.
//!
//! ```sh
//! cargo test --test simulator                                        # a few hundred thousand steps
//! KUBE2IAM_SIMULATOR_SEED=1234 cargo test --test simulator seeds     # one seed again; a failure shows its trail
//! KUBE2IAM_SIMULATOR_SEEDS=20000 cargo test --test simulator seeds  # a longer run, with seeds of its own; with both
//!                                                                    # set, so many from that one on
//! ```
//!
//! What is promised, by the words that a failure prints:
//!
//! | promise | |
//! |---|---|
//! | only what is permitted is given | no credentials of a role, external id or tag that wasn't the asking pod's at some moment of the request, as far as the agent had been told |
//! | what changed during the wait is not handed out | at its end the pod may still have it, as far as the agent has been told |
//! | nothing expired is served | |
//! | one call per session | |
//! | the budget of STS is kept | 8 calls at a time; renewals and prefetches at their pace |
//! | no call bears the node's key | where sessions come by the pods' tokens |
//! | no cap is exceeded | forwards of one pod, live lists |
//! | a known pod is answered | a pod that was there all the time is never refused as unknown: nobody sees half a list |
//! | nobody is stranded | who waits for a call has its result in the moment it is there |
//! | every request is answered in its time | |
//! | a token is its pod's and stays good | for that pod and nobody else, also with the next agent |
//! | the picture becomes the truth, in calm every pod is answered | when trouble is over |
//! | no secret is logged | |
//! | no thread panics, nobody spins, nobody waits for ever | |
//!
//! `mutations` shows that bugs are seen: each is put in at a port, and some seed of a few must break the promise.
//! `large` asks the caches of many such nodes what a large cluster costs.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails loudly and reads its own environment"
)]

mod agent;
mod api;
mod aws;
mod by_token;
mod cluster;
mod director;
mod large;
mod manner;
mod mutations;
mod plants;
mod pods;
#[path = "../standins/random.rs"]
mod random;
mod secrets;
mod settle;
#[allow(dead_code, reason = "an issuer for many tests")]
#[path = "../../src/logic/identity/tests/signing.rs"]
mod signing;
mod sim;
mod stage;
mod swarm;
mod time;
mod tokens;
mod truth;
mod watch;

use std::env;
use std::ops::Range;

use kube2iam::for_tests::BUILD;
use sim::{Outcome, run, run_by_token};

/// Those that the environment asks for, else the first `usual` ones.
fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match (number("KUBE2IAM_SIMULATOR_SEED"), number("KUBE2IAM_SIMULATOR_SEEDS")) {
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
        (None, Some(count)) => LONGER_RUNS..LONGER_RUNS + count,
        (None, None) => 0..usual,
    }
}

#[test]
fn seeds_break_no_promise() {
    let (mut steps, mut answers, mut sessions, mut runs) = (0, 0, 0, 0);
    for seed in seeds(SEEDS) {
        let outcome = run(seed, None);
        steps += outcome.steps;
        answers += outcome.answers;
        sessions += outcome.sessions;
        runs += 1;
        assert!(outcome.faults.is_empty(), "{}", report(seed, &outcome));
    }
    println!("{runs} seeds, {steps} steps, {answers} answers, {sessions} of them with credentials");
    // A simulator in which hardly anybody gets anything breaks no promise either.
    assert!(runs < 10 || sessions > runs * 20, "credentials only {sessions} times in {runs} runs");
}

/// The same days, with pods that show tokens and an agent that has nothing else for STS.
#[test]
fn seeds_by_token_break_no_promise() {
    let (mut sessions, mut runs) = (0, 0);
    for seed in seeds(SEEDS_BY_TOKEN) {
        let outcome = run_by_token(seed, None);
        sessions += outcome.sessions;
        runs += 1;
        assert!(outcome.faults.is_empty(), "by token: {}", report(seed, &outcome));
    }
    println!("{runs} seeds by token, {sessions} answers with credentials");
    assert!(runs < 10 || sessions > runs * 20, "credentials only {sessions} times in {runs} runs");
}

/// The same seed plays the same: otherwise no failure could be looked into.
#[test]
fn a_seed_plays_the_same_again() {
    for seed in 0..4 {
        let [first, second] = [run(seed, None), run(seed, None)];
        let parting = first.trail.iter().zip(&second.trail).find(|(one, other)| one != other);
        assert_eq!((first.digest, first.steps), (second.digest, second.steps), "seed {seed}: {parting:?}");
    }
}

/// What is needed to look into a failure.
fn report(seed: u64, outcome: &Outcome) -> String {
    let faults: Vec<String> = outcome.faults.iter().map(|fault| format!("{}: {}", fault.promise, fault.text)).collect();
    format!(
        "a promise is broken at commit {}\n{}\n\n{}\n{:?}\n\nKUBE2IAM_SIMULATOR_SEED={seed} cargo test --test simulator seeds",
        BUILD.commit,
        faults.join("\n"),
        outcome.trail.join("\n"),
        outcome.swarm,
    )
}

const SEEDS: u64 = 80;
const SEEDS_BY_TOKEN: u64 = 40;
/// Longer runs play other seeds than those that everybody plays.
const LONGER_RUNS: u64 = 1_000_000;
