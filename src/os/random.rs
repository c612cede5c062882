//! The kernel's random source: for jitter and keys.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};

use crate::ports::Random;

/// The kernel's random source.
pub struct OsRandom;

impl Random for OsRandom {
    /// Returns 0 if the random source fails, which only removes jitter.
    fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => u64::from_ne_bytes(bytes),
            Err(_) => 0,
        }
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        let mut bytes = [0; 32];
        let drawn = SystemRandom::new().fill(&mut bytes);
        drawn.map(|()| bytes).map_err(|_| io::Error::other("the system's random source failed"))
    }
}
