//! The issuer of the cluster's ServiceAccount tokens behind one lock: what is known of it, and who may have it read anew.
//!
//! One thread reads it; requests only look, and at a token under an unknown key one of them may have it read once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::logic::base::time::{Mono, Now};
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};
use crate::logic::identity::issuer::{Issuer, IssuerDocuments, IssuerFault};
use crate::ports::{IssuerStore, Notifier, Time};

/// What is known of the issuer.
pub struct IssuerKeyring {
    state: RwLock<State>,
    /// A read has ended.
    ended: Arc<dyn Notifier>,
    /// One is wanted before its time.
    wanted: Arc<dyn Notifier>,
    store: Option<Arc<dyn IssuerStore>>,
    closed: AtomicBool,
    time: Arc<dyn Time>,
}

#[derive(Default)]
struct State {
    issuer: Option<Arc<Issuer>>,
    /// How many reads of the API server have ended
    reads: u64,
    /// When the last one was begun or asked for
    asked: Option<Mono>,
    /// One was begun or asked for and hasn't ended
    is_reading: bool,
    /// Whether a request asked for it
    is_demanded: bool,
    /// How long after the last one a request may ask for the next
    pause: Pause,
    trouble: Option<KeyTrouble>,
}

struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(SHORTEST_PAUSE)
    }
}

/// Why the issuer can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTrouble {
    pub since: Mono,
    pub cause: String,
    /// Whether the API server answers, and doesn't let the agent read
    pub is_forbidden: bool,
}

/// One look.
#[derive(Clone)]
pub struct KnownIssuer {
    /// `None`: it isn't known yet.
    pub issuer: Option<Arc<Issuer>>,
    reads: u64,
}

/// What a read came to, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysRead {
    /// As known, or known for the first time, or changed
    Good(KeyNews),
    /// Why not, and whether that is another cause than before
    Failed { cause: String, is_forbidden: bool, is_news: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNews {
    None,
    /// Another name or other keys than before
    Changed,
    /// The same as before a failure
    Recovered,
}

/// Whether the API server lets the agent read the keys, as far as a failure shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeysAccess {
    Granted,
    Denied,
}

impl IssuerKeyring {
    /// Takes up what lies in the store; why it can't be, if it can't.
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

    /// What is known now.
    pub fn known(&self) -> KnownIssuer {
        let state = self.state.read();
        KnownIssuer { issuer: state.issuer.clone(), reads: state.reads }
    }

    pub fn trouble(&self) -> Option<KeyTrouble> {
        self.state.read().trouble.clone()
    }

    /// Whether something newer than `seen` is there, if need be by having it read: at most once in ten seconds, and less
    /// often while such reads bring nothing new, as with tokens that somebody made up. A read in progress is waited for
    /// until `deadline`; before the first one has ended everyone waits.
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
            let is_due = state.asked.is_none_or(|asked| now.since(asked) >= pause);
            if is_due {
                (state.asked, state.is_reading, state.is_demanded) = (Some(now), true, true);
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

    /// How often it has been wanted; taken before a read, it tells whether it was wanted meanwhile.
    pub fn wanted(&self) -> u64 {
        self.wanted.generation()
    }

    /// Waits until it is wanted again, or until `deadline`.
    pub fn wait_until_wanted(&self, wanted: u64, deadline: Mono) {
        self.wanted.wait(wanted, deadline);
    }

    /// A read begins.
    pub fn begin(&self) {
        let mut state = self.state.write();
        (state.asked, state.is_reading) = (Some(self.time.now().mono), true);
    }

    /// Takes up what a read came to. Keys that the API server lists no longer go from the store too.
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

    /// Writes what is known into the store, if there is one.
    pub fn keep(&self) -> Result<(), String> {
        match (&self.store, self.known().issuer) {
            (Some(store), Some(issuer)) => store.write(&issuer),
            _ => Ok(()),
        }
    }

    /// Lets everyone go who waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.wanted.notify();
        self.ended.notify();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A read that a request asked for, and that brought nothing, makes the next request wait longer for another.
    fn end_read(&self, outcome: &KeysRead) {
        let brought_news = matches!(outcome, KeysRead::Good(KeyNews::Changed | KeyNews::Recovered));
        let mut state = self.state.write();
        state.reads += 1;
        state.is_reading = false;
        let was_demanded = std::mem::take(&mut state.is_demanded);
        state.pause = match (brought_news, was_demanded) {
            (false, true) => Pause((state.pause.0 * 2).min(LONGEST_PAUSE)),
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

/// How often tokens under unknown keys can make the agent ask the API server.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
/// The same once it has asked for nothing again and again: so long may new keys stay unknown then.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
