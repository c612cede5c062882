//! What must hold of any bytes from outside: one function for each place where they come in, called by the fuzzers and
//! by `cargo test`, which runs the whole corpus and mutations of it (`tests/corpora.rs`).
//!
//! | target | bytes |
//! |---|---|
//! | `path` | a request target, and listings of the metadata service |
//! | `head` | a stream from a client |
//! | `watch` | a line of a watch or a list from the API server |
//! | `sts` | an answer of STS |
//! | `names` | annotations: role ARNs, patterns, what a pod asks of its session |
//! | `kubeconfig` | the file |
//! | `projected` | ServiceAccount tokens, their claims and headers, key sets |
//! | `token` | session tokens, their headers, records of keys |
//!
//! To fuzz one for five minutes, with a nightly toolchain and `cargo install cargo-fuzz`:
//!
//! ```text
//! mkdir -p /tmp/corpus/path
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz path /tmp/corpus/path tests/fuzz/corpus/path -- -max_total_time=300
//! ```
//!
//! What it finds goes to the first folder, what fails to `tests/fuzz/artifacts`. An input that taught something is made
//! small (`cargo +nightly fuzz tmin`), gets a name that tells its trick, and stays in `tests/fuzz/corpus`.

pub(crate) mod head;
pub(crate) mod kubeconfig;
pub(crate) mod names;
pub(crate) mod path;
pub(crate) mod projected;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../src/logic/identity/tests/signing.rs"]
mod signing;
pub(crate) mod sts;
pub(crate) mod token;
pub(crate) mod watch;
