//! Everything that waits.

pub mod agent;
pub mod clock;
pub mod http;
pub mod kubernetes;
pub mod latch;
pub mod logs;
pub mod process;
pub mod signal;
pub mod threads;
