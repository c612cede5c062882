//! What every other room builds on: time, backoff, addresses of services, text, secrets.

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
