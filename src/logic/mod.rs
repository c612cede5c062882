//! Everything that decides, as values: no sockets, threads, locks, files, environment, clocks, dice or log lines.

pub mod arn;
pub mod aws_environment;
pub mod backoff;
pub mod bucket;
pub mod cache;
pub mod credentials;
pub mod endpoints;
pub mod http;
pub mod imds;
pub mod kept;
pub mod kubernetes;
pub mod path;
pub mod pattern;
pub mod policy;
pub mod proxy;
pub mod reason;
pub mod reply;
pub mod route;
pub mod secret;
pub mod service_url;
pub mod session;
pub mod sts;
pub mod time;
pub mod token;
pub mod watch;
pub mod world;
