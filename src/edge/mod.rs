//! Everything that waits.

pub mod agent;
pub mod clock;
pub(crate) mod exchange;
pub(crate) mod files;
pub mod imds;
pub mod node_credentials;
pub mod single_flight;
pub mod sts;
pub mod threads;

#[cfg(test)]
mod stand_in;
