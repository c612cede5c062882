//! Everything that waits.

pub mod threads;
