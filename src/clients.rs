//! Clients of the services that the agent calls: the Kubernetes API server, STS, the metadata service, and the source
//! of the node's own credentials.

pub mod exchange;
pub mod http;
pub mod imds;
pub mod kube2iam;
pub mod kubernetes;
pub mod names;
pub mod node_credentials;
#[cfg(test)]
mod stand_in;
pub mod sts;
