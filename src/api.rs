//! The agent's answers: to one request of a pod, and to one request of the node's operator, each end to end.

pub mod container_credentials;
pub mod metadata;
pub mod operator;
