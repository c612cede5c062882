//! Everything that waits.

pub mod redirect;
