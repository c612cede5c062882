//! Sessions: their parameters, the cache as a state machine, and the budgets of calls.

pub mod budget;
pub mod cache;
pub mod credentials;
pub mod recent_failures;
pub mod session;
