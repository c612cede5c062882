//! What the agent answers: one request of a pod, and one question of the node's operator, each from end to end.

pub mod metadata;
pub mod operator;
