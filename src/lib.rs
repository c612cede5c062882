//! kube2iam: gives every Kubernetes pod its own AWS role, and nothing else.

pub mod edge;
pub mod logic;
pub mod ports;
pub mod reflect;
