//! Hash maps for lookups by every request: foldhash takes a quarter of the time of the standard library's SipHash. It
//! is randomly seeded per process too, so pods can't choose keys that collide.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

pub type FastMap<K, V> = HashMap<K, V, RandomState>;
pub type FastSet<K> = HashSet<K, RandomState>;
