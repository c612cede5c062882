//! State shared between threads, each part behind one lock: the World, the sessions, the token keys, the issuer's keys.

pub mod issuer_keys;
pub mod sessions;
pub mod shared_world;
pub mod token_keys;
