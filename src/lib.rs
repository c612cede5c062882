//! kube2iam: gives every Kubernetes pod its own AWS role, and nothing else.
//!
//! # From above
//!
//! Pods' calls to the EC2 metadata address are redirected to this agent, one on each node. Each connection to its HTTP
//! server ([`server`]) has a worker thread of its own, and each request is carried through by
//! [`api::metadata::Service::handle`], the only function that knows every step: its target becomes a route
//! (`logic::request`), one look at the World decides it (`logic::policy`), credentials come from the session cache, other
//! metadata from the node's own service. Watches ([`agent`], `tasks`) keep the World true; a few threads call STS for the
//! session cache.
//!
//! Everything that decides is a value in [`logic`]; everything that waits is in [`server`], [`clients`], [`redirect`] and
//! [`os`]. Between them stand a few small rooms, each to be read on a screen or two. No arrow points up:
//!
//! ```text
//! main -> cli -> agent -> api, server, clients, redirect -> state, telemetry, os -> ports -> logic
//! ```
//!
//! # The rooms, in reading order
//!
//! | room | what |
//! |---|---|
//! | [`logic`] | paths, routes, roles, policy, the World, the life of sessions, tokens, what AWS and Kubernetes say. No IO, locks, clocks or randomness |
//! | [`config`] | the command line, as typed and as meant |
//! | [`ports`] | the traits between the rooms and the outside: Kubernetes, STS, metadata, time |
//! | [`state`] | the World, the sessions and the token keys, each behind one lock |
//! | [`telemetry`] | log lines and metrics |
//! | [`api`] | one request of a pod, and one question of the node's operator, each from end to end |
//! | [`server`] | the HTTP server: listener, admission, connections, workers |
//! | [`clients`] | the API server, STS, the metadata service, the node's own credentials |
//! | [`redirect`] | the nftables table, written, compared and repaired by netlink |
//! | [`os`] | clocks, threads, signals, files, the log writer, the control socket, the handover |
//! | [`agent`] | builds the rooms, starts the threads, ends them |
//! | [`cli`] | the command line's first word, and `explain`, `status`, `log-level` and `doctor` beside the agent |
//!
//! # What never happens, and what keeps it so
//!
//! 1. A path is forwarded that wasn't judged: only a `CanonicalPath` can be, and it survives any further decoding
//!    (`nothing_forwarded_leads_to_a_secret`).
//! 2. Two different calls share a session: the call itself is the key (`requests_that_differ_anywhere_never_share_a_session`).
//! 3. Credentials are given without a check: the session cache takes only a `Permitted`, and only policy can make one.
//! 4. A decision mixes two moments: `decide` gets one reading of the World and the rules.
//! 5. A pod gets what was meant for another at its address: an address belongs to a set of uids
//!    (`late_delete_keeps_new_owner`), and an answer that took waiting is given only if a second look decides the same
//!    (`session_is_not_handed_out_after_a_change_during_the_wait`).
//! 6. A lock is held while something waits for the network, or inside another lock.
//! 7. Something grows without a limit: every limit has a name, and full means refused at once.
//! 8. Somebody waits for ever: a call to STS that ends in any way wakes those who wait (`no_order_of_steps_strands_a_waiter`,
//!    `panicking_call_wakes_its_waiters`).
//! 9. A secret is printed: it lives in `Secret` or in rendered bytes that are wiped, and neither can be formatted. The
//!    golden requests search their logs for every secret of the case.
//! 10. The clock is asked in passing: `now` is an argument, and only `os::clock` knows the time.
//!
//! Every room is private: all that is public is [`run`] and, for tests, [`for_tests`]. So the compiler sees what nobody
//! uses. `tests/house/main.rs` holds the table of rooms and arrows, and the bans.

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
