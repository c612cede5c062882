//! What is shipped: the static file and that it can be built again to the byte, without a network; the image; what else
//! comes along, and under which licence.
//!
//! Release builds take minutes, so the tests of the file run where `CI` is set or [`release::WISH`] is.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking, its helpers too

mod cluster;
mod empty_root;
mod image;
mod recipe;
mod release;
mod supply;
#[path = "../tools/mod.rs"]
mod tools;
