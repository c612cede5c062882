//! The agent's background threads, one file per kind of work.

pub(crate) mod credentials_address;
pub(crate) mod discover;
pub(super) mod evaluate;
pub(super) mod events;
pub(super) mod health;
pub(super) mod housekeeping;
pub(super) mod lint;
pub(super) mod prefetch;
pub(crate) mod redirect;
pub(super) mod silence;
pub(super) mod sts;
pub(super) mod taint;
pub(super) mod token_keys;
pub mod watch;
pub(super) mod watches;
