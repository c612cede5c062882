//! The command line: dispatch, and the commands other than the agent.

pub mod command;
pub mod operator;
