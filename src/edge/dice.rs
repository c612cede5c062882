//! Randomness of the system: jitter and keys.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};

/// 64 random bits for jitter; none if the system has none to give, which only makes timings regular.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// A key that nobody can guess.
pub fn secret() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map(|()| bytes).map_err(|_| io::Error::other("the system's random source failed"))
}
