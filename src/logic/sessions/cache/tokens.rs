//! Tokens that calls to STS bear instead of a signature. One is held from the moment that its pod asks, and a call has
//! to be made for it, until that call is taken; it is never part of a key, nor of what is kept of a session.
//!
//! What STS has against one pod's token says nothing of another's: a refusal is remembered for the token, and another may
//! be tried. Only so many in a row, though: where several are refused, the fault is the role's or the provider's.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Cache;
use super::entry::{CacheEntry, CallState};
use crate::logic::base::secret::Secret;
use crate::logic::base::time::{Mono, Wall};
use crate::logic::request::message::ShownToken;
use crate::logic::sts::{AssumeRole, StsFailure, StsFailureKind, TokenRefusal};

/// Tells tokens apart, and holds nothing that could be shown instead of one.
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
    /// For the call that is queued: gone once that is made
    brought: Option<(Option<TokenMark>, Secret<String>)>,
    /// Of the call under way, or the last one
    borne: Option<TokenMark>,
    /// The latest last
    refused: Vec<RefusedToken>,
}

#[derive(Debug)]
struct RefusedToken {
    mark: TokenMark,
    failure: StsFailure,
    until: Mono,
}

impl EntryTokens {
    /// The token for the call that is made now.
    pub(super) fn take(&mut self) -> Option<Secret<String>> {
        let (mark, token) = self.brought.take()?;
        self.borne = mark;
        Some(token)
    }

    pub(super) fn drop_brought(&mut self) {
        self.brought = None;
    }

    /// Takes up that STS took the token.
    pub(super) fn accept(&mut self) {
        self.refused.clear();
    }

    /// Takes up how the call failed; what is about its token is remembered for that.
    pub(super) fn reject(&mut self, failure: &StsFailure, until: Mono, now: Mono) {
        self.forget(now);
        if let Some(mark) = self.borne.filter(|_| failure.kind.is_about_token()) {
            self.refused.retain(|refused| refused.mark != mark);
            self.refused.push(RefusedToken { mark, failure: failure.clone(), until });
        }
    }

    /// Why a token isn't tried: it was refused itself, or enough others were, or it ends no later than one that had expired.
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

    /// Forgets what has been remembered long enough; whether anything is left.
    pub(super) fn forget(&mut self, now: Mono) -> bool {
        self.refused.retain(|refused| now < refused.until);
        !self.refused.is_empty()
    }
}

impl<S> Cache<S> {
    /// Takes the token of the pod that just asked for `key`, if a call for it is queued and has none: the first one
    /// counts. Returns whether the call can be made now.
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

    /// Whether who waited for a call that failed has a token that is worth another: the last one failed for its token, and
    /// that was not this one.
    pub fn may_try_own(&self, key: &AssumeRole, mark: TokenMark) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            let is_about_token = entry.last_failure.as_ref().is_none_or(|failure| failure.kind.is_about_token());
            is_about_token && !entry.tokens.was_refused(mark)
        })
    }

    /// Who waits for a call for `key`.
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

    /// The failure that is the answer to who asks with this token.
    pub(super) fn refusal_for(&self, token: Option<TokenMark>, now: Mono) -> Option<&StsFailure> {
        match (self.remembered(now), token) {
            (Some(failure), Some(_)) if !failure.kind.is_about_token() => Some(failure),
            (_, Some(mark)) => self.tokens.refusal_of(mark, now),
            (failure, None) => failure,
        }
    }

    /// Whether a call may be made with this token, as far as tokens go, or is under way anyhow.
    pub(super) fn may_call_with(&self, token: Option<TokenMark>, now: Mono) -> bool {
        self.call != CallState::Idle || token.is_none_or(|mark| self.tokens.refusal_of(mark, now).is_none())
    }
}

/// Tokens that are tried for one key while their refusals are remembered: a crowd whose tokens all are refused costs two
/// calls, not one for each pod.
const MOST_TRIED: usize = 2;
