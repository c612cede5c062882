//! The redirect with real packets, in network namespaces that the tests make and remove.
//!
//! They need root, iproute2, nftables, iptables and curl; without them they say so and pass, unless `CI` is set.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)] // a test's helpers may fail it and speak, and it has a clock of its own

mod corners;
mod credentials;
mod credentials_closed;
mod credentials_life;
mod credentials_repair;
#[path = "../sdk/kit.rs"]
mod kit;
mod lab;
mod life;
mod packets;
mod pods;
#[path = "../sdk/python.rs"]
mod python;
mod repair;
mod rollout;
mod rules;
mod silence;
mod site;
#[path = "../standins/mod.rs"]
mod standins;
mod succession;
mod taken_port;
#[path = "../tools/mod.rs"]
mod tools;
mod traffic;
mod uplinks;
