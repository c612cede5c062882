//! Everything that decides, as values: no sockets, threads, locks, files, environment, clocks, dice or log lines.

pub mod arn;
pub mod credentials;
pub mod http;
pub mod imds;
pub mod kubernetes;
pub mod path;
pub mod redirect;
pub mod secret;
pub mod sts;
pub mod time;
