//! Everything that waits.

pub mod agent;
pub mod clock;
pub mod logs;
pub mod threads;
