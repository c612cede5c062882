//! Everything that waits.

pub mod http;
pub mod threads;
