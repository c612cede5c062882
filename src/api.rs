//! What the agent answers: one request of a pod, and one question of the node's operator, each from end to end.

pub mod container_credentials;
pub mod metadata;
pub mod operator;
