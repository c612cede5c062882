//! Shared building blocks: time, backoff, URLs, text, secrets.

pub mod backoff;
pub mod decimal;
pub mod json;
pub mod maps;
pub mod proxy;
pub mod refreshing;
pub mod secret;
pub mod time;
pub mod url;
pub mod yaml;

#[cfg(test)]
pub(crate) mod tests;
