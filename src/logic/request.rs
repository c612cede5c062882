//! A request and its response as values: the canonical path, the route, the response, and parsers of the metadata
//! service's responses.

pub mod message;
pub mod path;
pub mod reply;
pub mod route;
pub mod upstream;
