//! The redirect with real packets, in network namespaces that the tests make and remove.
//!
//! They need root, iproute2, nftables, iptables and curl; without them they say so and pass, unless `CI` is set.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test's helpers may fail it and speak

mod lab;
mod repair;
mod rules;
mod traffic;
