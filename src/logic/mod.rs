//! Everything that decides, as values: no sockets, threads, locks, files, environment, clocks, dice or log lines.

pub mod arn;
pub mod aws_environment;
pub mod credentials;
pub mod endpoints;
pub mod http;
pub mod imds;
pub mod kept;
pub mod kubernetes;
pub mod path;
pub mod proxy;
pub mod secret;
pub mod service_url;
pub mod sts;
pub mod time;
