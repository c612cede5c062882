//! The keys of the session tokens behind one lock, in step with those of the agent before and the agent after.
//!
//! Where there is a store, whoever rotates writes there; the others notice by a token under a key that they don't have.
//! A store that fails costs a round of new tokens, never the agent.

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
    /// When the store was last looked into for an unknown key
    looked: Mutex<Option<Mono>>,
    clock: Arc<dyn Clock>,
}

/// What can't be shared with other agents, and why.
pub type StoreTrouble = String;

impl Keyring {
    /// Takes the keys that lie in the store; without any, begins with one of `secret` and leaves it there.
    pub fn open(
        store: Option<Arc<dyn KeyStore>>,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<StoreTrouble>) {
        let now = clock.now().wall;
        let fresh = TokenKeys::new(secret, now);
        let (keys, trouble) = match &store {
            None => (fresh, None),
            Some(store) => settle(&**store, fresh, secret, now),
        };
        let keys = RwLock::new(Arc::new(keys));
        (Self { keys, store, looked: Mutex::new(None), clock }, trouble)
    }

    /// The keys to make tokens with.
    pub fn current(&self) -> Arc<TokenKeys> {
        self.keys.read().clone()
    }

    /// The keys to read `token` with. One under a key that isn't here may come from another agent that has rotated
    /// the keys: then the store is looked into, though not for every forged token.
    pub fn keys_for(&self, token: Option<&[u8]>) -> Arc<TokenKeys> {
        let keys = self.current();
        let (Some(token), Some(store)) = (token, &self.store) else { return keys };
        if !keys.lacks_key_of(token) || !self.may_look() {
            return keys;
        }
        match store.read() {
            // Taken up whatever this token is: a forged one must not use up the look of a good one.
            Ok(Some(found)) if found.is_ahead_of(&keys) || !found.lacks_key_of(token) => self.adopt(found),
            _ => keys,
        }
    }

    pub fn is_rotation_due(&self) -> bool {
        self.current().is_rotation_due(self.clock.now().wall)
    }

    /// Puts a key of `secret` in front, unless another agent has rotated the keys already.
    pub fn rotate(&self, secret: &[u8; 32]) -> Option<StoreTrouble> {
        let now = self.clock.now().wall;
        let alone = rotated(&self.current(), secret, now);
        let (keys, trouble) = match &self.store {
            None => (alone, None),
            Some(store) => settle(&**store, alone, secret, now),
        };
        self.adopt(keys);
        trouble
    }

    fn adopt(&self, keys: TokenKeys) -> Arc<TokenKeys> {
        let keys = Arc::new(keys);
        *self.keys.write() = keys.clone();
        keys
    }

    fn may_look(&self) -> bool {
        let now = self.clock.now().mono;
        let mut looked = self.looked.lock();
        let may = looked.is_none_or(|at| now.since(at) >= LOOK_AGAIN);
        if may {
            *looked = Some(now);
        }
        may
    }
}

/// Agrees with the store on the keys to use: those that lie there, rotated if they are due, else our own `alone`.
fn settle(store: &dyn KeyStore, alone: TokenKeys, secret: &[u8; 32], now: Wall) -> (TokenKeys, Option<StoreTrouble>) {
    let (mut keys, mut trouble) = (None, None);
    let wrote = store.update(&mut |found| {
        let found = found.unwrap_or_else(|cause| {
            trouble = Some(cause);
            None
        });
        let (next, is_news) = match found {
            Some(found) if found.is_rotation_due(now) => (rotated(&found, secret, now), true),
            Some(found) => (found, false),
            None => (alone.clone(), true),
        };
        keys = Some(next.clone());
        is_news.then_some(next)
    });
    // Whoever holds the store may be stuck; what lies there can be read all the same.
    let keys = keys.or_else(|| store.read().ok().flatten().filter(|found| !found.is_rotation_due(now)));
    (keys.unwrap_or(alone), wrote.err().or(trouble))
}

fn rotated(keys: &TokenKeys, secret: &[u8; 32], now: Wall) -> TokenKeys {
    let mut keys = keys.clone();
    keys.rotate(secret, now);
    keys
}

/// How often a pod can make the agent read a file by showing tokens of unknown keys.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
