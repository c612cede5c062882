//! Everything that waits.

pub mod agent;
pub mod kubernetes;
