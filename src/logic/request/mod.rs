//! A request and its answer as values: the canonical path, the route, the reply, and what the metadata service says.

pub mod message;
pub mod path;
pub mod reply;
pub mod route;
pub mod upstream;
