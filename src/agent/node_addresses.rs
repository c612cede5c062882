//! The node's own addresses: connections from them, such as probes, use reserved slots.

use std::collections::BTreeSet;
use std::net::IpAddr;

use log::debug;
use parking_lot::RwLock;

use crate::logic::redirect::address::ADDRESS;
use crate::logic::redirect::resolve::HostNetwork;
use crate::redirect;

/// The node's addresses.
#[derive(Debug, Default)]
pub(super) struct NodeAddresses {
    host: Option<IpAddr>,
    found: RwLock<BTreeSet<IpAddr>>,
}

impl NodeAddresses {
    pub(super) fn find(given: Option<IpAddr>) -> Self {
        let mut node = Self { host: given, found: RwLock::default() };
        let network = node.refresh();
        node.host = given.or_else(|| network.default_ip());
        node
    }

    /// The configured address, else that of the default route.
    pub(super) fn host(&self) -> Option<IpAddr> {
        self.host
    }

    pub(super) fn refresh(&self) -> HostNetwork {
        let network = redirect::host_network().unwrap_or_else(|cause| {
            debug!("{cause}");
            HostNetwork::default()
        });
        *self.found.write() = of_the_node(&network);
        network
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.host == Some(address) || self.found.read().contains(&address)
    }
}

/// Excludes the address of container credentials: hostNetwork pods connect to it from that same address, so it doesn't
/// identify the node.
fn of_the_node(network: &HostNetwork) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let addresses = network.addresses.iter().map(|address| address.ip);
    found.extend(addresses.filter(|ip| *ip != IpAddr::V4(ADDRESS)));
    found
}

#[cfg(test)]
mod tests;
