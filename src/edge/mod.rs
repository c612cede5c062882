//! Everything that waits: sockets, files, signals, clocks, dice. Nothing here decides.

pub mod agent;
mod bell;
pub mod clock;
pub mod control;
pub mod dice;
mod exchange;
mod files;
pub mod handover;
pub mod http;
pub mod imds;
pub mod key_file;
pub mod kube2iam;
pub mod kubernetes;
pub mod latch;
pub mod logs;
pub mod memory;
mod names;
pub mod node_credentials;
mod nss;
mod peer;
pub mod port_holder;
pub mod process;
pub mod redirect;
pub mod signal;
mod single_flight;
pub mod state_dir;
pub mod sts;
pub mod threads;

#[cfg(test)]
mod stand_in;
