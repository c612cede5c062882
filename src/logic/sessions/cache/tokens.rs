//! Tokens that calls to STS carry instead of a signature. A token is held from the request that brings it until its
//! call is made. It is never part of a key, nor kept with a session.
//!
//! A refusal of one pod's token says nothing about another's, so refusals are remembered per token and another token
//! may be tried. The number of attempts is limited: if several tokens are refused, the cause is the role or the
//! identity provider.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Cache;
use super::entry::{CacheEntry, CallState};
use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::request::message::ShownToken;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind, TokenRefusal};

/// Identifies a token without containing any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenMark {
    hash: u64,
    expires: Wall,
}

impl TokenMark {
    pub fn of(token: ShownToken<'_>, expires: Wall) -> Self {
        let mut hasher = DefaultHasher::new();
        token.bare().hash(&mut hasher);
        Self { hash: hasher.finish(), expires }
    }
}

/// The tokens of one key.
#[derive(Debug, Default)]
pub(super) struct EntryTokens {
    /// For the queued call; dropped once that is made
    brought: Option<(Option<TokenMark>, Secret<String>)>,
    /// The token of the current or last call
    borne: Option<TokenMark>,
    /// Newest last
    refused: Vec<RefusedToken>,
}

#[derive(Debug)]
struct RefusedToken {
    mark: TokenMark,
    failure: StsFailure,
    until: Mono,
}

impl EntryTokens {
    /// Takes the token for the call that is made now.
    pub(super) fn take(&mut self) -> Option<Secret<String>> {
        let (mark, token) = self.brought.take()?;
        self.borne = mark;
        Some(token)
    }

    pub(super) fn drop_brought(&mut self) {
        self.brought = None;
    }

    /// Records that STS accepted the token.
    pub(super) fn accept(&mut self) {
        self.refused.clear();
    }

    /// Records a failure; one about the token is remembered with it.
    pub(super) fn reject(&mut self, failure: &StsFailure, until: Mono, now: Mono) {
        self.forget(now);
        if let Some(mark) = self.borne.filter(|_| failure.kind.is_about_token()) {
            self.refused.retain(|refused| refused.mark != mark);
            self.refused.push(RefusedToken { mark, failure: failure.clone(), until });
        }
    }

    /// Why a token isn't tried: it was refused, enough others were, or it expires no later than one that had expired.
    pub(super) fn refusal_of(&self, mark: TokenMark, now: Mono) -> Option<&StsFailure> {
        let live = || self.refused.iter().filter(|refused| now < refused.until);
        let own = live().find(|refused| refused.mark == mark);
        let is_no_fresher = |refused: &RefusedToken| {
            refused.failure.kind == StsFailureKind::Token(TokenRefusal::Expired) && mark.expires <= refused.mark.expires
        };
        let mut others = live().filter(|refused| live().count() >= MOST_TRIED || is_no_fresher(refused));
        own.or(others.next_back()).map(|refused| &refused.failure)
    }

    fn was_refused(&self, mark: TokenMark) -> bool {
        self.refused.iter().any(|refused| refused.mark == mark)
    }

    /// Drops outdated refusals; returns whether any are left.
    pub(super) fn forget(&mut self, now: Mono) -> bool {
        self.refused.retain(|refused| now < refused.until);
        !self.refused.is_empty()
    }
}

impl<S> Cache<S> {
    /// Stores the token of a request for `key`, if a call is queued and has no token yet. Returns whether the call
    /// can be made now.
    pub fn bring(
        &mut self,
        key: &AssumeRole,
        mark: Option<TokenMark>,
        token: impl FnOnce() -> Option<Secret<String>>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.lacks_token()) else { return false };
        entry.tokens.brought = token().map(|token| (mark, token));
        entry.tokens.brought.is_some()
    }

    /// Whether a waiter of a failed call has a token worth another call: the failure was about another token.
    pub fn may_try_own(&self, key: &AssumeRole, mark: TokenMark) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            let is_about_token = entry.last_failure.as_ref().is_none_or(|failure| failure.kind.is_about_token());
            is_about_token && !entry.tokens.was_refused(mark)
        })
    }

    /// The number of waiters for `key`.
    #[cfg(test)]
    pub(crate) fn waiters(&self, key: &AssumeRole) -> usize {
        self.entries.get(key).map_or(0, |entry| entry.waiters)
    }

    #[cfg(test)]
    pub(super) fn holds_token(&self) -> bool {
        self.entries.values().any(|entry| entry.tokens.brought.is_some())
    }
}

impl<S> CacheEntry<S> {
    fn lacks_token(&self) -> bool {
        self.key.subject.is_some() && self.tokens.brought.is_none() && matches!(self.call, CallState::Queued { .. })
    }

    /// The failure for requests with this token.
    pub(super) fn refusal_for(&self, token: Option<TokenMark>, now: Mono) -> Option<&StsFailure> {
        match (self.remembered(now), token) {
            (Some(failure), Some(_)) if !failure.kind.is_about_token() => Some(failure),
            (_, Some(mark)) => self.tokens.refusal_of(mark, now),
            (failure, None) => failure,
        }
    }

    /// Whether this token allows a call, or a call is pending anyway.
    pub(super) fn may_call_with(&self, token: Option<TokenMark>, now: Mono) -> bool {
        self.call != CallState::Idle || token.is_none_or(|mark| self.tokens.refusal_of(mark, now).is_none())
    }
}

/// Tokens tried per key while their refusals are remembered: if all pods' tokens are refused, that costs two calls
/// rather than one per pod.
const MOST_TRIED: usize = 2;
