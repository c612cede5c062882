//! Credentials over their life: what a session carries, the cache as a machine, the budgets of calls.

pub mod budget;
pub mod cache;
pub mod credentials;
pub mod recent_failures;
pub mod session;
