//! The built agent where everything around it breaks: relays that cut, reset, silence and change bytes between it and
//! what it calls; kill -9 under load; too few descriptors, threads, bytes of memory; and a long run of all that is usual.
//!
//! What always holds, and is looked at in every test: whoever gets credentials gets those of the role of the pod at its
//! address, whole and not expired; `/healthz` says 200; no panic; no secret in the log. And when the trouble is over,
//! every pod is answered again within [`site::RECOVERY`].
//!
//! `KUBE2IAM_CHAOS_SEED=N` chooses other faults, `KUBE2IAM_LONG_RUN_S=600` makes the long run long.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails loudly and has a clock of its own"
)]

mod clients;
mod deaf;
mod few_threads;
mod killed;
mod limits;
mod long_run;
mod memory;
mod random;
mod relay;
mod renewal;
mod site;
#[path = "../standins/mod.rs"]
mod standins;
mod storms;
mod tls;
#[path = "../tools/mod.rs"]
mod tools;
