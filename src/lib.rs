//! kube2iam: gives every Kubernetes pod its own AWS role, and nothing else.
//!
//! # From above
//!
//! Pods' calls to the EC2 metadata address are redirected to this agent, one on each node. Each connection to its HTTP
//! server (`edge::http`) has a worker thread of its own, and each request is carried through by
//! [`serve::Service::handle`], the only function that knows every step: its target becomes a route (`logic::route`), one
//! look at the world decides it (`logic::policy`), credentials come from the desk, other metadata from the node's own
//! service. Two watches ([`reflect`]) keep the world ([`registry`]) true; a few threads call STS on
//! the desk's behalf.
//!
//! Everything that decides is a value in [`logic`]; everything that waits is in [`edge`]. Between them stand a few small
//! rooms, each to be read on a screen or two. No arrow points up:
//!
//! ```text
//! main -> command -> operator -> daemon -> control, edge, serve, reflect -> desk, keyring, registry, telemetry, ports -> logic
//! ```
//!
//! # The rooms, in reading order
//!
//! | room | what |
//! |---|---|
//! | [`logic`] | paths, routes, roles, policy, the world, the life of sessions, tokens, what AWS and Kubernetes say. No IO, locks, clocks or dice |
//! | [`config`] | the command line, as typed and as meant |
//! | [`ports`] | the doors to the outside: Kubernetes, STS, metadata, time |
//! | [`registry`] | world and rules behind one lock, and a bell that rings when they change |
//! | [`desk`] | sessions behind one lock, who waits for them and who fetches them |
//! | [`keyring`] | the keys of session tokens behind one lock, shared with the agents before and after |
//! | [`telemetry`] | log lines and metrics |
//! | [`reflect`] | one watch, end to end |
//! | [`serve`] | one request, end to end |
//! | [`edge`] | sockets, files, signals, the network: what stands behind the doors |
//! | [`control`] | one question of the node's operator over the control socket, end to end |
//! | [`daemon`] | builds the rooms, starts the threads, ends them |
//! | [`operator`] | `explain`, `status`, `log-level` and `doctor`: programs beside the agent |
//! | [`command`] | what the first word of the command line asks for |
//!
//! # What never happens, and what keeps it so
//!
//! 1. A path is forwarded that wasn't judged: only a `CanonicalPath` can be, and it survives any further decoding
//!    (`nothing_forwarded_leads_to_a_secret`).
//! 2. Two different calls share a session: the call itself is the key (`any_differing_field_is_another_session`).
//! 3. Credentials are given without a check: the desk takes only a `Permitted`, and only policy can make one.
//! 4. A decision mixes two moments: `decide` gets one picture of the world and the rules.
//! 5. A pod gets what was meant for another at its address: an address belongs to a set of uids
//!    (`late_delete_keeps_new_owner`), and an answer that took waiting is given only if a second look decides the same
//!    (`what_changed_during_the_wait_is_not_handed_out`).
//! 6. A lock is held while something waits for the network, or inside another lock.
//! 7. Something grows without a limit: every limit has a name, and full means refused at once.
//! 8. Somebody waits for ever: a call to STS that ends in any way wakes those who wait (`all_small_orders_strand_nobody`,
//!    `a_call_that_panics_strands_nobody`).
//! 9. A secret is printed: it lives in `Secret` or in rendered bytes that are wiped, and neither can be formatted. The
//!    golden requests search their logs for every secret of the case.
//! 10. The clock is asked in passing: `now` is an argument, and only `edge::clock` knows the time.
//!
//! `tests/house.rs` holds the table of rooms and arrows, and the bans.

pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod desk;
pub mod edge;
pub mod keyring;
pub mod logic;
pub mod operator;
pub mod ports;
pub mod reflect;
pub mod registry;
pub mod serve;
pub mod telemetry;
