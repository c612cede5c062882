//! The command line: which command its words name, and the commands that run beside the agent.

pub mod command;
pub mod operator;
