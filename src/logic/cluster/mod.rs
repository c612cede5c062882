//! The cluster as far as it is known: Kubernetes objects and lists, the watch as a machine, the World.

pub mod kubernetes;
pub mod silence;
pub mod taint;
pub mod watch;
pub mod world;
