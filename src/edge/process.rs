//! What the process asks of the kernel for itself: few rights, no traces, room for connections.

use log::warn;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

/// Gives up what the agent never needs: new privileges, core dumps, being traced. Raises the limit on descriptors as far
/// as it may. What the kernel refuses is a warning: the agent works without it.
pub fn settle() {
    told("no new privileges", set_no_new_privs(true));
    told("no core dumps", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    told("no core files", setrlimit(Resource::Core, none));
    let files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if files.current.is_some_and(|current| current < wanted) {
        told("more descriptors", setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..files }));
    }
}

/// Keeps the memory of a thousand short-lived threads from spreading: glibc would give each its own arena, and would
/// keep what a large list took.
#[allow(unsafe_code)]
pub fn bound_memory() {
    for (option, value) in
        [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, LARGE_BYTES), (libc::M_TRIM_THRESHOLD, LARGE_BYTES)]
    {
        // SAFETY: mallopt takes two plain integers and is called before any other thread exists.
        unsafe { libc::mallopt(option, value) };
    }
}

fn told(what: &str, result: rustix::io::Result<()>) {
    if let Err(cause) = result {
        warn!("failed to get `{what}` from the kernel: {cause}");
    }
}

/// Four times the connections that the door admits.
const DESCRIPTORS: u64 = 4_096;
const ARENAS: i32 = 2;
/// Blocks from this size on go back to the system as soon as they are free.
const LARGE_BYTES: i32 = 64 * 1_024;
