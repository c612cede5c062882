//! Everything that waits: sockets, files, signals, clocks, dice. Nothing here decides.

pub mod agent;
pub mod clock;
pub mod control;
pub mod dice;
mod exchange;
mod files;
pub mod http;
pub mod imds;
pub mod kube2iam;
pub mod kubernetes;
pub mod latch;
pub mod logs;
pub mod node_credentials;
pub mod process;
pub mod signal;
mod single_flight;
pub mod sts;
pub mod threads;

#[cfg(test)]
mod stand_in;
