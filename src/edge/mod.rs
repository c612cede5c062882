//! Everything that waits.

pub mod agent;
pub mod clock;
pub mod http;
pub mod kubernetes;
pub mod logs;
pub mod threads;
