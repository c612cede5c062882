//! Keeps the World of one resource current by list and watch: determines the next step and the effect of every
//! response. A pure state machine; `agent/tasks/watch` executes its steps.
//!
//! - The version is only taken from parsed input: a completed list, a frame, or a bookmark.
//! - An established watch that ends is resumed at its version within 200 ms. Only consecutive failures back off.
//! - If an object can't be parsed, its known state is forgotten and the watch continues; when the watch ends, a new
//!   list shows whether the object can be parsed by then.
//! - Any doubtful state is repaired by a new list: an outdated version (410), an unparsable line that may concern any
//!   object, an endless line, consecutive errors, or long silence.
//! - A server that responds again, even with a refusal, is tried again soon: the backoff that grew during its outage
//!   no longer applies.
//! - A list that starts over emits `Init` again, so that items of the abandoned list are swept like any other.

mod note;
mod unreadable;

use std::collections::BTreeSet;
use std::time::Duration;

pub use note::{Logged, Relist, WatchNote};

use super::kubernetes::{Event, Frame, Item, KubernetesFailure, KubernetesFailureKind, ListPage, ResourceVersion};
use crate::logic::base::backoff::{Backoff, share};
use crate::logic::base::time::Mono;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchStep {
    /// Read a page: the first, or the one for `continuation`
    List { continuation: Option<String> },
    /// Open a watch from `version`
    Watch { version: ResourceVersion },
    /// Read the next line of the open watch.
    Read,
    /// Wait, without an open watch
    Rest { until: Mono, cut: Cut },
}

/// Whether a wait ends early when another watch of the same server succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The wait is short, or the server asked for it
    #[default]
    Never,
    WhenOthersGetThrough,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An item of the current page
    Item(Item),
    /// The page is complete
    Page(ListPage),
    /// Reading the page or opening the watch failed
    Refused(KubernetesFailure),
    Opened,
    Line(Frame),
    /// Another watch of the same server succeeded after a failure
    OthersGotThrough,
    /// The open watch ended; `None`: without an error
    Ended(Option<KubernetesFailure>),
}

/// The effect of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// To be applied to the World, in this order
    pub events: [Option<Event>; 2],
    pub note: Option<WatchNote>,
}

/// The state of list and watch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    phase: Phase,
    /// The last parsed version
    version: ResourceVersion,
    rest_until: Mono,
    cut: Cut,
    /// When the last list was completed or the last frame parsed
    last_event_at: Mono,
    /// Consecutive failures
    refusals: Backoff,
    /// Consecutive watches that had to be repaired
    faults: Backoff,
    /// The class of the last failure, and how many consecutive failures had it
    last_failure: Option<(FailureClass, u32)>,
    /// The state of an object was forgotten since the last list; a new list may have it
    has_forgotten: bool,
    /// A 410 was received, and nothing was parsed since
    is_gone: bool,
    /// Unparsable objects that were already logged, up to a limit
    logged: BTreeSet<String>,
}

/// Whether the server responded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureClass {
    Refused,
    NotReached,
}

#[derive(Clone, Debug)]
enum Phase {
    /// A list is due or in progress
    Listing(ListProgress),
    /// A watch is to be opened
    Ready,
    Watching(OpenWatch),
}

#[derive(Clone, Debug, Default)]
struct ListProgress {
    continuation: Option<String>,
    /// `Init` was emitted
    begun: bool,
    items: usize,
    unreadable: usize,
}

#[derive(Clone, Copy, Debug)]
struct OpenWatch {
    since: Mono,
    /// A frame was parsed
    heard: bool,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Listing(ListProgress::default())
    }
}

impl Watch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn next(&self, now: Mono) -> WatchStep {
        if now < self.rest_until {
            return WatchStep::Rest { until: self.rest_until, cut: self.cut };
        }
        match &self.phase {
            Phase::Listing(listing) => WatchStep::List { continuation: listing.continuation.clone() },
            Phase::Ready => WatchStep::Watch { version: self.version.clone() },
            Phase::Watching(_) => WatchStep::Read,
        }
    }

    /// Processes the result of the last step. `random` is 64 random bits. An input that doesn't fit the step is
    /// ignored.
    pub fn on(&mut self, input: Input, now: Mono, random: u64) -> Reaction {
        match (input, &mut self.phase) {
            (Input::Item(Ok(object)), Phase::Listing(listing)) => {
                listing.items += 1;
                listing.begin_with(Event::InitApply(object))
            }
            (Input::Item(Err(object)), Phase::Listing(_)) => self.unreadable_item(object),
            (Input::Page(page), Phase::Listing(_)) => self.page(page, now),
            (Input::Refused(failure), Phase::Listing(_) | Phase::Ready) => self.refused(failure, now, random),
            (Input::Opened, Phase::Ready) => {
                self.phase = Phase::Watching(OpenWatch { since: now, heard: false });
                Reaction::note(WatchNote::Watching)
            }
            (Input::Line(frame), Phase::Watching(_)) => self.line(frame, now, random),
            (Input::OthersGotThrough, Phase::Listing(_) | Phase::Ready) => {
                if self.cut == Cut::WhenOthersGetThrough && now < self.rest_until {
                    self.rest(now, share(RESUME_WITHIN, random), Cut::Never);
                }
                Reaction::default()
            }
            (Input::Ended(failure), &mut Phase::Watching(open)) => self.ended(open, failure, now, random),
            _ => Reaction::default(),
        }
    }

    fn page(&mut self, page: ListPage, now: Mono) -> Reaction {
        let Phase::Listing(listing) = &mut self.phase else { return Reaction::default() };
        self.refusals.reset();
        self.last_failure = None;
        if page.continuation.is_some() {
            listing.continuation = page.continuation;
            return listing.begin();
        }
        let note = WatchNote::Listed { items: listing.items, unreadable: listing.unreadable };
        let reaction = listing.begin_with(Event::InitDone);
        self.has_forgotten = false;
        self.version = page.version;
        self.last_event_at = now;
        self.phase = Phase::Ready;
        Reaction { note: Some(note), ..reaction }
    }

    fn refused(&mut self, failure: KubernetesFailure, now: Mono, random: u64) -> Reaction {
        let floor = match failure.kind {
            KubernetesFailureKind::Gone => return self.gone(failure.cause, now, random),
            KubernetesFailureKind::Unavailable { retry_after_s } => {
                retry_after_s.map(u64::from).map(Duration::from_secs)
            }
            _ => None,
        };
        let nth = self.count_failure(failure.kind);
        let is_first = self.refusals.is_fresh();
        let rest = self.refusals.next(floor, random);
        if let Phase::Listing(listing) = &mut self.phase {
            // A continue token that fails twice may be the cause. The first page always starts over.
            if listing.continuation.is_none() || !is_first {
                *listing = ListProgress::default();
            }
        } else if now.since(self.last_event_at) >= SILENCE {
            return self.relist(Relist::Silence, now, rest);
        }
        self.rest(now, rest, if floor.is_none() { Cut::WhenOthersGetThrough } else { Cut::Never });
        Reaction::note(WatchNote::BackedOff { failure, rest, nth })
    }

    /// Counts consecutive failures of the same class. The first refusal after an outage resets the backoff: the
    /// server may still be loading its RBAC rules and allow the request a moment later.
    fn count_failure(&mut self, kind: KubernetesFailureKind) -> u32 {
        let class = if kind.is_refusal() { FailureClass::Refused } else { FailureClass::NotReached };
        let before = self.last_failure.replace((class, 1));
        match before {
            Some((last, times)) if last == class => {
                self.last_failure = Some((class, times.saturating_add(1)));
                times.saturating_add(1)
            }
            Some(_) if class == FailureClass::Refused => {
                self.refusals.reset();
                1
            }
            _ => 1,
        }
    }

    fn rest(&mut self, now: Mono, rest: Duration, cut: Cut) {
        self.rest_until = now.after(rest);
        self.cut = cut;
    }

    fn line(&mut self, frame: Frame, now: Mono, random: u64) -> Reaction {
        let (event, version) = match frame {
            Frame::Added(object, version) | Frame::Modified(object, version) => (Some(Event::Apply(object)), version),
            Frame::Deleted(object, version) => (Some(Event::Delete(object)), version),
            Frame::Bookmark(version) => (None, version),
            Frame::Gone(message) => return self.gone(message, now, random),
            Frame::Failed(message) => return self.failed(message, now, random),
            Frame::Unreadable(object, version) => return self.unreadable_line(object, version, now, random),
        };
        self.understood(Some(version), now);
        Reaction { events: [event, None], note: Some(WatchNote::Heard) }
    }

    fn understood(&mut self, version: Option<ResourceVersion>, now: Mono) {
        if let Phase::Watching(open) = &mut self.phase {
            open.heard = true;
        }
        self.version = version.unwrap_or_else(|| std::mem::take(&mut self.version));
        self.last_event_at = now;
        self.refusals.reset();
        self.last_failure = None;
        self.is_gone = false;
    }

    /// The first error object resumes the watch, because it may be temporary; a second consecutive one lists again.
    fn failed(&mut self, message: String, now: Mono, random: u64) -> Reaction {
        let is_first = self.faults.is_fresh();
        let rest = self.faults.next(None, random);
        if !is_first || self.has_forgotten {
            return self.relist(Relist::Failed(message), now, rest);
        }
        self.phase = Phase::Ready;
        self.rest(now, rest, Cut::WhenOthersGetThrough);
        let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
        let nth = self.count_failure(kind);
        Reaction::note(WatchNote::BackedOff { failure: KubernetesFailure { kind, cause: message }, rest, nth })
    }

    /// Lists at once, unless the last list already led to a 410.
    fn gone(&mut self, message: String, now: Mono, random: u64) -> Reaction {
        let rest = if self.is_gone { self.faults.next(None, random) } else { share(RESUME_WITHIN, random) };
        self.is_gone = true;
        self.relist(Relist::Gone(message), now, rest)
    }

    fn ended(&mut self, open: OpenWatch, failure: Option<KubernetesFailure>, now: Mono, random: u64) -> Reaction {
        if let Some(failure) = failure.as_ref().filter(|failure| failure.kind.is_refusal()) {
            let rest = self.faults.next(None, random);
            return self.relist(Relist::Unreadable(failure.cause.clone()), now, rest);
        }
        if self.has_forgotten {
            let rest = self.faults.next(None, random);
            return self.relist(Relist::Forgotten, now, rest);
        }
        if now.since(self.last_event_at) >= SILENCE {
            return self.relist(Relist::Silence, now, share(RESUME_WITHIN, random));
        }
        let is_stillborn = !open.heard && now.since(open.since) < STILLBORN;
        let is_first = self.refusals.is_fresh();
        let backed_off = self.refusals.next(None, random);
        let rest = if is_stillborn && !is_first { backed_off } else { share(RESUME_WITHIN, random) };
        if !is_stillborn {
            self.refusals.reset();
        }
        if open.heard {
            self.faults.reset();
        }
        self.phase = Phase::Ready;
        self.rest(now, rest, Cut::Never);
        Reaction::note(WatchNote::Ended { cause: failure.map(|failure| failure.cause), rest })
    }

    fn relist(&mut self, why: Relist, now: Mono, rest: Duration) -> Reaction {
        self.phase = Phase::default();
        self.rest(now, rest, Cut::WhenOthersGetThrough);
        Reaction::note(WatchNote::Relisting { why, rest })
    }
}

impl ListProgress {
    /// Emits `Init` unless it was already emitted.
    fn begin(&mut self) -> Reaction {
        let init = (!std::mem::replace(&mut self.begun, true)).then_some(Event::Init);
        Reaction { events: [init, None], note: None }
    }

    fn begin_with(&mut self, event: Event) -> Reaction {
        let [init, _] = self.begin().events;
        Reaction { events: [init, Some(event)], note: None }
    }
}

impl Reaction {
    fn note(note: WatchNote) -> Self {
        Self { events: [None, None], note: Some(note) }
    }
}

/// Spreads the reconnects of nodes whose watches ended at the same time.
const RESUME_WITHIN: Duration = Duration::from_millis(200);
/// A watch that ends sooner without any frame counts as a refusal (client-go's "very short watch").
const STILLBORN: Duration = Duration::from_secs(1);
/// Bookmarks arrive about once a minute. A server that is silent for this long may hold an older state than the agent
/// (etcd restored from a backup) and would never send an event again.
pub const SILENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
