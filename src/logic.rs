//! All decisions, as pure functions on values: no sockets, threads, locks, files, environment, clocks, randomness or
//! log lines.

pub mod base;
pub mod cluster;
pub mod identity;
pub mod operator;
pub mod policy;
pub mod redirect;
pub mod request;
pub mod sessions;
pub mod sts;
