//! The pods that claim an address: a set of UIDs, so that a late delete can't evict a new holder.

use std::net::IpAddr;
use std::sync::Arc;

use crate::logic::base::maps::FastMap;

/// One holder, the usual case, or several.
#[derive(Debug)]
pub(super) enum Holders {
    One(Arc<str>),
    Many(Vec<Arc<str>>),
}

impl Holders {
    pub(super) fn add(holders: &mut FastMap<IpAddr, Self>, address: IpAddr, uid: &Arc<str>) {
        match holders.remove(&address) {
            None => holders.insert(address, Self::One(uid.clone())),
            Some(Self::One(other)) if other == *uid => holders.insert(address, Self::One(other)),
            Some(Self::One(other)) => holders.insert(address, Self::Many(vec![other, uid.clone()])),
            Some(Self::Many(mut uids)) => {
                if !uids.contains(uid) {
                    uids.push(uid.clone());
                }
                holders.insert(address, Self::Many(uids))
            }
        };
    }

    pub(super) fn remove(holders: &mut FastMap<IpAddr, Self>, address: IpAddr, uid: &Arc<str>) {
        match holders.remove(&address) {
            Some(Self::One(other)) if other != *uid => drop(holders.insert(address, Self::One(other))),
            Some(Self::Many(mut uids)) => {
                uids.retain(|other| other != uid);
                let rest = match uids.as_slice() {
                    [one] => Self::One(one.clone()),
                    _ => Self::Many(uids),
                };
                holders.insert(address, rest);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
