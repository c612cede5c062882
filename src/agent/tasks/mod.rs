//! The threads that the agent runs beside its HTTP server, one file for each kind of work.

pub(super) mod discover;
pub(super) mod evaluate;
pub(super) mod silence;
pub(super) mod taint;
pub(super) mod token_keys;
pub mod watch;
pub(super) mod watches;
