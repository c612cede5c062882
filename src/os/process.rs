//! What the process asks of the kernel for itself: few rights, no traces, room for connections. And what it uses.
//!
//! Rights belong to threads, and a thread has those of the one that started it: [`settle`] is called by the first
//! thread before there is another.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::logic::operator::process::Usage;

/// What the agent may do beyond what any process may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Change the node's packet filter, for the redirect
    Network,
    /// Listen on a port below 1024
    LowPort,
}

/// Gives up for good what the agent doesn't need: capabilities but those of `rights`, new privileges, core dumps,
/// being traced. Raises the limit on descriptors as far as it may. What the kernel refuses is returned, one line each: the
/// agent works without it.
pub fn settle(rights: &[Right]) -> Vec<String> {
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
    // Only who holds SETPCAP can lower the bound. Without it the bound means nothing: no program that this process
    // starts can gain what the process hasn't.
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
            // The kernel knows no capability of this number, and none above it.
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

/// Four times the connections that the door admits.
const DESCRIPTORS: u64 = 4_096;
/// What the process uses now, by the kernel's counters.
pub fn usage() -> Usage {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    // The directory is open too while its entries are counted.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
    Usage {
        descriptors: u64::try_from(open).unwrap_or(u64::MAX),
        most_descriptors: getrlimit(Resource::Nofile).current,
        ..Usage::read(&text("/proc/self/stat"), &text("/proc/self/status"), &text("/proc/stat"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_uses_something() {
        let usage = usage();
        assert!(usage.resident_bytes > 1 << 20 && usage.virtual_bytes > usage.resident_bytes, "{usage:?}");
        assert!(usage.threads > 0 && usage.descriptors > 2 && usage.started_s > 1e9, "{usage:?}");
        assert!(usage.most_descriptors.is_none_or(|most| most >= usage.descriptors), "{usage:?}");
    }
}
