//! An issuer for the tests of this room.

pub(crate) mod signing;
