//! The issuer of the cluster's ServiceAccount tokens behind one lock: its keys, and when a request may trigger a new
//! read.
//!
//! One thread reads the issuer from the API server. Requests use the result; a request with a token under an unknown
//! key may trigger another read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::logic::base::time::{Mono, Now};
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};
use crate::logic::identity::issuer::{Issuer, IssuerDocuments, IssuerFault};
use crate::ports::{IssuerStore, Notifier, Time};

/// The current issuer, and the state of its reads.
pub struct IssuerKeyring {
    state: RwLock<State>,
    /// Notified when a read has ended.
    ended: Arc<dyn Notifier>,
    /// Notified when a request triggers a read.
    wanted: Arc<dyn Notifier>,
    store: Option<Arc<dyn IssuerStore>>,
    closed: AtomicBool,
    time: Arc<dyn Time>,
}

#[derive(Default)]
struct State {
    issuer: Option<Arc<Issuer>>,
    /// Number of finished reads
    reads: u64,
    /// Start or request of the last read
    requested_at: Option<Mono>,
    /// Whether a read was started or requested and hasn't ended
    is_reading: bool,
    /// Whether a request triggered it
    is_demanded: bool,
    /// Minimum time between two reads triggered by requests
    pause: Pause,
    trouble: Option<KeyTrouble>,
}

struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(MIN_PAUSE)
    }
}

/// Why the issuer can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTrouble {
    pub since: Mono,
    pub cause: String,
    /// Whether the API server responds but denies access
    pub is_forbidden: bool,
}

/// A snapshot of the issuer.
#[derive(Clone)]
pub struct KnownIssuer {
    /// `None` if it isn't known yet.
    pub issuer: Option<Arc<Issuer>>,
    reads: u64,
}

/// The result of a read, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysRead {
    /// Success, and what changed
    Good(KeyNews),
    /// Failure; `is_news` if the cause differs from the previous failure's
    Failed { cause: String, is_forbidden: bool, is_news: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNews {
    None,
    /// The name or the keys differ from before
    Changed,
    /// Unchanged, after a failure
    Recovered,
}

/// Whether the API server lets the agent read the keys, as far as a failure shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeysAccess {
    Granted,
    Denied,
}

impl IssuerKeyring {
    /// Starts with the stored issuer, if any; also returns why the store couldn't be read.
    pub fn open(store: Option<Arc<dyn IssuerStore>>, time: Arc<dyn Time>) -> (Self, Option<String>) {
        let (kept, trouble) = match store.as_ref().map(|store| store.read()) {
            None => (None, None),
            Some(Ok(kept)) => (kept, None),
            Some(Err(cause)) => (None, Some(cause)),
        };
        let state = RwLock::new(State { issuer: kept.map(Arc::new), ..State::default() });
        let (ended, wanted) = (time.notifier(), time.notifier());
        (Self { state, ended, wanted, store, closed: AtomicBool::new(false), time }, trouble)
    }

    /// The current snapshot.
    pub fn known(&self) -> KnownIssuer {
        let state = self.state.read();
        KnownIssuer { issuer: state.issuer.clone(), reads: state.reads }
    }

    pub fn trouble(&self) -> Option<KeyTrouble> {
        self.state.read().trouble.clone()
    }

    /// Whether a newer state than `seen` is available. Triggers a read if one is due: at most every ten seconds, and
    /// less often while such reads find nothing new, as with made-up tokens. Waits until `deadline` for a read in
    /// progress, and always for the first one.
    pub fn is_newer_than(&self, seen: &KnownIssuer, deadline: Mono) -> bool {
        let generation = self.ended.generation();
        let now = self.time.now().mono;
        let (is_due, is_awaited) = {
            let mut state = self.state.write();
            if state.reads > seen.reads {
                return true;
            }
            let is_first = state.reads == 0;
            let pause = state.pause.0;
            let is_due = state.requested_at.is_none_or(|requested_at| now.since(requested_at) >= pause);
            if is_due {
                (state.requested_at, state.is_reading, state.is_demanded) = (Some(now), true, true);
            }
            (is_due, is_first || state.is_reading)
        };
        if is_due {
            self.wanted.notify();
        }
        if is_awaited {
            self.wait(seen.reads, generation, deadline);
        }
        self.state.read().reads > seen.reads
    }

    fn wait(&self, reads: u64, mut generation: u64, deadline: Mono) {
        while self.state.read().reads == reads && !self.is_closed() && self.time.now().mono < deadline {
            self.ended.wait(generation, deadline);
            generation = self.ended.generation();
        }
    }

    /// The number of triggered reads; compared before and after a read, it shows whether another was triggered
    /// meanwhile.
    pub fn wanted(&self) -> u64 {
        self.wanted.generation()
    }

    /// Waits until another read is triggered, or until `deadline`.
    pub fn wait_until_wanted(&self, wanted: u64, deadline: Mono) {
        self.wanted.wait(wanted, deadline);
    }

    /// Records the start of a read.
    pub fn begin(&self) {
        let mut state = self.state.write();
        (state.requested_at, state.is_reading) = (Some(self.time.now().mono), true);
    }

    /// Records the result of a read. Keys that the API server no longer lists are removed from the store too.
    pub fn finish(&self, documents: Result<IssuerDocuments, KubernetesFailure>) -> KeysRead {
        let now = self.time.now();
        let outcome = match documents.map(|documents| Issuer::read(&documents, now.wall)) {
            Ok(Ok(issuer)) => KeysRead::Good(self.adopt(issuer)),
            Ok(Err(IssuerFault::NoKeys)) => {
                self.state.write().issuer = None;
                let kept = self.store.as_ref().map_or(Ok(()), |store| store.remove());
                let kept = kept
                    .map_or_else(|cause| format!("; those kept for the next start stay: {cause}"), |()| String::new());
                let cause = format!("the API server lists no key for RS256, RS384, RS512, ES256 or ES384{kept}");
                self.fail(cause, KeysAccess::Granted, now)
            }
            Ok(Err(IssuerFault::Unreadable(cause))) => self.fail(cause, KeysAccess::Granted, now),
            Err(failure) => {
                use KubernetesFailureKind::{Forbidden, Unauthorized};
                let denied = matches!(failure.kind, Forbidden | Unauthorized);
                self.fail(failure.cause, if denied { KeysAccess::Denied } else { KeysAccess::Granted }, now)
            }
        };
        self.end_read(&outcome);
        self.ended.notify();
        outcome
    }

    /// Writes the issuer to the store, if there is one.
    pub fn keep(&self) -> Result<(), String> {
        match (&self.store, self.known().issuer) {
            (Some(store), Some(issuer)) => store.write(&issuer),
            _ => Ok(()),
        }
    }

    /// Wakes all waiting threads, for shutdown.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.wanted.notify();
        self.ended.notify();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Doubles the pause after a triggered read that found nothing new; news reset it.
    fn end_read(&self, outcome: &KeysRead) {
        let has_news = matches!(outcome, KeysRead::Good(KeyNews::Changed | KeyNews::Recovered));
        let mut state = self.state.write();
        state.reads += 1;
        state.is_reading = false;
        let was_demanded = std::mem::take(&mut state.is_demanded);
        state.pause = match (has_news, was_demanded) {
            (false, true) => Pause((state.pause.0 * 2).min(MAX_PAUSE)),
            (false, false) => return,
            (true, _) => Pause::default(),
        };
    }

    fn adopt(&self, issuer: Issuer) -> KeyNews {
        let mut state = self.state.write();
        let is_known = state.issuer.as_ref().is_some_and(|known| known.agrees_with(&issuer));
        let had_trouble = state.trouble.take().is_some();
        state.issuer = Some(Arc::new(issuer));
        match (is_known, had_trouble) {
            (false, _) => KeyNews::Changed,
            (true, true) => KeyNews::Recovered,
            (true, false) => KeyNews::None,
        }
    }

    fn fail(&self, cause: String, access: KeysAccess, now: Now) -> KeysRead {
        let is_forbidden = access == KeysAccess::Denied;
        let mut state = self.state.write();
        let old = state.trouble.take();
        let is_news = old.as_ref().is_none_or(|old| old.cause != cause);
        let since = old.map_or(now.mono, |old| old.since);
        state.trouble = Some(KeyTrouble { since, cause: cause.clone(), is_forbidden });
        KeysRead::Failed { cause, is_forbidden, is_news }
    }
}

/// Minimum time between two reads triggered by tokens under unknown keys.
const MIN_PAUSE: Duration = Duration::from_secs(10);
/// Its upper limit after repeated reads without news, and so the longest delay until new keys are found.
const MAX_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
