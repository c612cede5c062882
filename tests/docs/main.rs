//! The pages say what is: generated parts are those of the binary, links lead somewhere, cited tests exist, and what the
//! README asks a reader to type works.
//!
//! `KUBE2IAM_WRITE_README=1 cargo test --test docs` writes the generated parts anew; that of the metrics is written by
//! `KUBE2IAM_WRITE_README=1 cargo test --lib metrics_page`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly and reads its own environment"
)]

mod commands;
mod generated;
mod links;
mod page;
mod promises;
#[path = "../standins/mod.rs"]
mod standins;
mod tests_of_tree;
#[path = "../tools/mod.rs"]
mod tools;
