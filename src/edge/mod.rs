//! Everything that waits.

pub mod agent;
