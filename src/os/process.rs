//! The process's own kernel settings (few rights, no tracing, descriptors for connections), and its resource usage.
//!
//! Capabilities belong to threads, and a thread inherits those of its creator: the first thread calls [`harden`] before
//! it starts another.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::logic::operator::process::Usage;

/// A privilege that the agent keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Change the node's packet filter, for the redirect
    Network,
    /// Listen on a port below 1024
    LowPort,
}

/// Permanently drops what the agent doesn't need: capabilities other than those of `rights`, new privileges, core
/// dumps, being traced. Raises the descriptor limit as far as allowed. Returns what the kernel refused, one line each;
/// the agent runs without it.
pub fn harden(rights: &[Right]) -> Vec<String> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let steps = [
        ("no new privileges", set_no_new_privs(true)),
        ("fewer capabilities", give_up_capabilities(rights)),
        ("no core dumps", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("no core files", setrlimit(Resource::Core, none)),
        ("more descriptors", raise_descriptors()),
    ];
    let refused = steps.into_iter().filter_map(|(what, result)| Some((what, result.err()?)));
    refused.map(|(what, cause)| format!("failed to get `{what}` from the kernel: {cause}")).collect()
}

fn give_up_capabilities(rights: &[Right]) -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    let needed = rights.iter().map(|right| match right {
        Right::Network => CapabilitySet::NET_ADMIN,
        Right::LowPort => CapabilitySet::NET_BIND_SERVICE,
    });
    let needed: CapabilitySet = needed.collect();
    let kept = held.permitted.intersection(needed);
    // Lowering the bounding set takes SETPCAP. Without it the bounding set is irrelevant: with no_new_privs, no program
    // started by this process can gain capabilities that the process lacks.
    if held.effective.contains(CapabilitySet::SETPCAP) {
        lower_bound(kept)?;
    }
    clear_ambient_capability_set()?;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
}

fn lower_bound(kept: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            // The kernel has no capability with this number or a higher one.
            Err(Errno::INVAL) => return Ok(()),
            Err(cause) => return Err(cause),
            Ok(true) if !kept.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
        }
    }
    Ok(())
}

fn raise_descriptors() -> rustix::io::Result<()> {
    let files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    match files.current {
        Some(current) if current < wanted => setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..files }),
        _ => Ok(()),
    }
}

/// Four times the server's connections.
const DESCRIPTORS: u64 = 4_096;

/// The process's current resource usage, from the kernel's counters.
pub fn usage() -> Usage {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    // Not counting the descriptor of the directory itself.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    Usage {
        descriptors: u64::try_from(open).unwrap_or(u64::MAX),
        most_descriptors: getrlimit(Resource::Nofile).current,
        ..Usage::read(&text("/proc/self/stat"), &text("/proc/self/status"), &text("/proc/stat"))
    }
}

#[cfg(test)]
mod tests;
