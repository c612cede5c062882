//! kube2iam: gives every Kubernetes pod its own AWS role, and nothing else.

pub mod config;
pub mod control;
pub mod daemon;
pub mod desk;
pub mod edge;
pub mod logic;
pub mod operator;
pub mod ports;
pub mod reflect;
pub mod registry;
pub mod serve;
pub mod telemetry;
