//! The node's own addresses: probes that come from them find a place at the door in any crowd.

use std::collections::HashSet;
use std::net::IpAddr;

use log::debug;
use parking_lot::RwLock;

use crate::edge::redirect;
use crate::logic::redirect::resolve::HostNetwork;

/// What the node is known by.
#[derive(Debug, Default)]
pub(super) struct NodeAddresses {
    /// `--host-ip`, whether the node has it or not
    given: Option<IpAddr>,
    found: RwLock<HashSet<IpAddr>>,
}

impl NodeAddresses {
    /// Looks once. The other one is what `/healthz` calls the host's address: the one given, else the default route's.
    pub(super) fn find(given: Option<IpAddr>) -> (Self, Option<IpAddr>) {
        let node = Self { given, found: RwLock::default() };
        let network = node.look();
        (node, given.or_else(|| network.default_ip()))
    }

    /// Looks again.
    pub(super) fn look(&self) -> HostNetwork {
        let network = redirect::host_network().unwrap_or_else(|cause| {
            debug!("failed to read the node's addresses: {cause}");
            HostNetwork::default()
        });
        *self.found.write() = network.addresses.iter().map(|address| address.ip).collect();
        network
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.given == Some(address) || self.found.read().contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_has_the_address_given_and_all_that_are_found() {
        let given = "192.0.2.1".parse().unwrap();
        let (node, host) = NodeAddresses::find(Some(given));
        assert_eq!(host, Some(given));
        for (address, own) in [("192.0.2.1", true), ("127.0.0.1", true), ("192.0.2.2", false)] {
            assert_eq!(node.holds(address.parse().unwrap()), own, "{address}");
        }
    }
}
