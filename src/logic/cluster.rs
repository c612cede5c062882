//! The known state of the cluster: Kubernetes objects and lists, the watch as a state machine, and the World.

pub mod kubernetes;
pub mod silence;
pub mod taint;
pub mod watch;
pub mod world;
