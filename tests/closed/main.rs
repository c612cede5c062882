//! The closed door, tried on the real binary: nothing but its own credentials ever reaches a pod, whatever it sends.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and has threads and a clock of its own"
)]

mod authority;
mod duplicates;
mod facing;
mod hostile;
mod known_vulnerabilities;
mod leaks;
mod many_clients;
mod network;
mod proxy;
mod siege;
mod site;
mod spellings;
#[path = "../standins/mod.rs"]
mod standins;
mod tenants;
mod tokens;
mod tree;
mod world_age;
