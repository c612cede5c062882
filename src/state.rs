//! What threads share, each behind one lock: the World, the sessions, the keys of the metadata tokens.

pub mod issuer_keys;
pub mod sessions;
pub mod shared_world;
pub mod token_keys;
