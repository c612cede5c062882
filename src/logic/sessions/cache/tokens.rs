//! Tokens that calls to STS bear instead of a signature. One is held from the moment that its pod asks, and a call has
//! to be made for it, until that call is taken; it is never part of a key, nor of what is kept of a session.

use super::Cache;
use super::entry::{CacheEntry, CallState};
use crate::logic::base::secret::Secret;
use crate::logic::sts::AssumeRole;

impl<S> Cache<S> {
    /// Takes the token of the pod that just asked for `key`, if a call for it is queued and has none: the first one
    /// counts. Returns whether the call can be made now.
    pub fn bring(&mut self, key: &AssumeRole, token: impl FnOnce() -> Option<Secret<String>>) -> bool {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.lacks_token()) else { return false };
        entry.token = token();
        entry.token.is_some()
    }
}

impl<S> CacheEntry<S> {
    fn lacks_token(&self) -> bool {
        self.key.subject.is_some() && self.token.is_none() && matches!(self.call, CallState::Queued { .. })
    }
}
