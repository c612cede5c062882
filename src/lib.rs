//! kube2iam: gives every Kubernetes pod the credentials of its own AWS role only.
//!
//! # Overview
//!
//! Pods' requests for the EC2 metadata address are redirected to this agent, which runs on every node. Each connection
//! to its HTTP server ([`server`]) has its own worker thread. [`api::metadata::Service::handle`] processes each request
//! and is the only function that contains every step: parse the target into a route (`logic::request`), decide with one
//! read of the World (`logic::policy`), then take credentials from the session cache, or other metadata from the node's
//! own metadata service. Watches ([`agent`], `tasks`) keep the World current; a few threads call STS for the session
//! cache.
//!
//! All decisions are pure code in [`logic`]; all blocking code is in [`server`], [`clients`], [`redirect`] and [`os`].
//! A few small rooms (top-level modules) connect them. Dependencies point only to the right:
//!
//! ```text
//! main -> cli -> agent -> api, server, clients, redirect -> state, telemetry, os -> ports -> logic
//! ```
//!
//! # The rooms, in reading order
//!
//! | room | what |
//! |---|---|
//! | [`logic`] | paths, routes, roles, policy, the World, the lifetime of sessions, tokens, parsing of AWS's and Kubernetes's responses. No IO, locks, clocks or randomness |
//! | [`config`] | the command line, parsed and validated |
//! | [`ports`] | the traits between the rooms and the outside: Kubernetes, STS, metadata, time |
//! | [`state`] | the World, the sessions and the token keys, each behind one lock |
//! | [`telemetry`] | log lines and metrics |
//! | [`api`] | one request of a pod, and one request of the node's operator, each end to end |
//! | [`server`] | the HTTP server: listener, admission, connections, workers |
//! | [`clients`] | the API server, STS, the metadata service, the node's own credentials |
//! | [`redirect`] | the nftables table, written, compared and repaired through netlink |
//! | [`os`] | clocks, threads, signals, files, the log writer, the control socket, the handover |
//! | [`agent`] | builds the rooms, starts and ends the threads |
//! | [`cli`] | the subcommands: the agent itself, and `explain`, `status`, `log-level` and `doctor` |
//!
//! # What never happens, and what prevents it
//!
//! 1. A path is forwarded unchecked: only a `CanonicalPath` can be forwarded, and further decoding doesn't change it
//!    (`nothing_forwarded_leads_to_a_secret`).
//! 2. Two different calls share a session: the call itself is the key
//!    (`requests_that_differ_anywhere_never_share_a_session`).
//! 3. Credentials are given without a policy check: the session cache takes only a `Permitted`, which only policy can
//!    make.
//! 4. A decision mixes two states: `decide` gets one consistent read of the World and the rules.
//! 5. A pod gets the credentials of another pod at its address: an address belongs to a set of uids
//!    (`late_delete_keeps_new_owner`), and after a wait an answer is sent only if the repeated decision is the same
//!    (`session_is_not_handed_out_after_a_change_during_the_wait`).
//! 6. A lock is held during a wait for the network, or inside another lock.
//! 7. A collection grows without a limit: every limit is a named constant, and when it is reached, requests are refused
//!    at once.
//! 8. A request waits indefinitely: a call to STS wakes its waiters however it ends
//!    (`no_order_of_steps_strands_a_waiter`, `panicking_call_wakes_its_waiters`).
//! 9. A secret is printed: it is held in `Secret` or in rendered bytes that are zeroed, and neither can be formatted.
//!    The golden requests search their logs for every secret of the case.
//! 10. Code reads the clock on its own: `now` is an argument, and only `os::clock` reads the time.
//!
//! Every room is private: only [`run`] and, for tests, [`for_tests`] are public, so that the compiler reports unused
//! code. `tests/house/main.rs` holds the table of rooms and permitted dependencies, and the bans.

// The map above is for readers of the source, and for `cargo doc --document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

pub mod for_tests;

mod agent;
mod api;
mod cli;
mod clients;
mod config;
mod logic;
mod os;
mod ports;
mod redirect;
mod server;
mod state;
mod telemetry;

pub use cli::command::run;
