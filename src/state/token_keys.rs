//! The keys of IMDS session tokens behind one lock, synchronised with those of the previous and the next agent.
//!
//! With a store, the agent that rotates the keys writes them there; other agents read them when they see a token under
//! an unknown key. If the store fails, clients must fetch new tokens once; the agent keeps running.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::logic::base::time::{Mono, Wall};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::ports::{Clock, KeyStore};

/// The keys in use.
pub struct Keyring {
    keys: RwLock<Arc<TokenKeys>>,
    store: Option<Arc<dyn KeyStore>>,
    /// When the store was last read for an unknown key
    last_read: Mutex<Option<Mono>>,
    clock: Arc<dyn Clock>,
}

/// Why the keys can't be shared with other agents.
pub type StoreTrouble = String;

impl Keyring {
    /// Uses the stored keys; without any, starts with a key from `secret` and stores it.
    pub fn open(
        store: Option<Arc<dyn KeyStore>>,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<StoreTrouble>) {
        let now = clock.now().wall;
        let fresh = TokenKeys::new(secret, now);
        let (keys, trouble) = match &store {
            None => (fresh, None),
            Some(store) => agree(&**store, fresh, secret, now),
        };
        let keys = RwLock::new(Arc::new(keys));
        (Self { keys, store, last_read: Mutex::new(None), clock }, trouble)
    }

    /// The keys to make tokens with.
    pub fn current(&self) -> Arc<TokenKeys> {
        self.keys.read().clone()
    }

    /// The keys to verify `token` with. A token under an unknown key may come from another agent that has rotated the
    /// keys, so the store is read, but at most once per second because of forged tokens.
    pub fn keys_for(&self, token: Option<&[u8]>) -> Arc<TokenKeys> {
        let keys = self.current();
        let (Some(token), Some(store)) = (token, &self.store) else { return keys };
        if !keys.lacks_key_of(token) || !self.may_read_store() {
            return keys;
        }
        match store.read() {
            // Adopted even if the token is forged, so that a forged one doesn't block the read for a valid one.
            Ok(Some(found)) if found.is_ahead_of(&keys) || !found.lacks_key_of(token) => self.adopt(found),
            _ => keys,
        }
    }

    pub fn is_rotation_due(&self) -> bool {
        self.current().is_rotation_due(self.clock.now().wall)
    }

    /// Makes a key from `secret` the current one, unless another agent has rotated the keys already.
    pub fn rotate(&self, secret: &[u8; 32]) -> Option<StoreTrouble> {
        let now = self.clock.now().wall;
        let own = rotated(&self.current(), secret, now);
        let (keys, trouble) = match &self.store {
            None => (own, None),
            Some(store) => agree(&**store, own, secret, now),
        };
        self.adopt(keys);
        trouble
    }

    fn adopt(&self, keys: TokenKeys) -> Arc<TokenKeys> {
        let keys = Arc::new(keys);
        *self.keys.write() = keys.clone();
        keys
    }

    fn may_read_store(&self) -> bool {
        let now = self.clock.now().mono;
        let mut last_read = self.last_read.lock();
        let may = last_read.is_none_or(|at| now.since(at) >= READ_PAUSE);
        if may {
            *last_read = Some(now);
        }
        may
    }
}

/// The keys to use: those in the store, rotated if due, else `own`.
fn agree(store: &dyn KeyStore, own: TokenKeys, secret: &[u8; 32], now: Wall) -> (TokenKeys, Option<StoreTrouble>) {
    let (mut keys, mut trouble) = (None, None);
    let wrote = store.update(&mut |found| {
        let found = found.unwrap_or_else(|cause| {
            trouble = Some(cause);
            None
        });
        let (next, is_news) = match found {
            Some(found) if found.is_rotation_due(now) => (rotated(&found, secret, now), true),
            Some(found) => (found, false),
            None => (own.clone(), true),
        };
        keys = Some(next.clone());
        is_news.then_some(next)
    });
    // Another agent may be stuck holding the lock; the store can still be read.
    let keys = keys.or_else(|| store.read().ok().flatten().filter(|found| !found.is_rotation_due(now)));
    (keys.unwrap_or(own), wrote.err().or(trouble))
}

fn rotated(keys: &TokenKeys, secret: &[u8; 32], now: Wall) -> TokenKeys {
    let mut keys = keys.clone();
    keys.rotate(secret, now);
    keys
}

/// Minimum time between two reads of the store caused by tokens under unknown keys.
const READ_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
