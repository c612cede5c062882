//! The World of one resource, kept by list and watch: what to do next, and what every answer means for the World.
//! A pure machine; `reflect` carries out its steps.
//!
//! - The version only ever comes from what was understood: a finished list, a frame, a bookmark.
//! - An established watch that ends resumes at its version after at most 200 ms. Only failures in a row back off.
//! - What was known of an object that can't be read is forgotten, and the watch goes on; when it ends, a list shows
//!   whether the object can be read by now.
//! - Whatever can't be trusted is repaired by a list: a version too old (410), a line that couldn't be read and may be
//!   of any object, an endless one, errors in a row, or long silence.
//! - A server that answers again, even by a refusal, is asked again soon: the wait that grew while it was away was for
//!   its absence.
//! - A list that starts over says `Init` again, so that what an abandoned one brought is swept like everything else.

mod note;
mod unreadable;

use std::collections::BTreeSet;
use std::time::Duration;

pub use note::{Logged, Relist, WatchNote};

use super::kubernetes::{Event, Frame, Item, KubernetesFailure, KubernetesFailureKind, ListPage, ResourceVersion};
use crate::logic::base::backoff::{Backoff, share};
use crate::logic::base::time::Mono;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchStep {
    /// Read a page: the first, or the one where `continuation` leads.
    List { continuation: Option<String> },
    /// Open a watch from `version` on.
    Watch { version: ResourceVersion },
    /// Read the next line of the open watch.
    Read,
    /// Hold no watch open, and wait.
    Rest { until: Mono, cut: Cut },
}

/// Whether a wait ends when another watch of the same server gets through again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// It is short, or the server asked for it.
    #[default]
    Never,
    WhenOthersGetThrough,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An item of the page that is being read.
    Item(Item),
    /// The page was read to its end.
    Page(ListPage),
    /// The page, or the opening of a watch, failed.
    Refused(KubernetesFailure),
    Opened,
    Line(Frame),
    /// Another watch of the same server got through after a failure.
    OthersGotThrough,
    /// The open watch ended; `None`: in good order.
    Ended(Option<KubernetesFailure>),
}

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// To be applied to the World, in this order.
    pub events: [Option<Event>; 2],
    pub note: Option<WatchNote>,
}

/// The state of list and watch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    phase: Phase,
    /// The last version understood.
    version: ResourceVersion,
    rest_until: Mono,
    cut: Cut,
    /// When the last list ended or the last frame was understood.
    heard_at: Mono,
    /// Failures in a row.
    refusals: Backoff,
    /// Watches in a row that had to be repaired.
    faults: Backoff,
    /// How the server failed last, and how often in a row in that way
    last_failure: Option<(FailureClass, u32)>,
    /// What was known of an object was forgotten since the last list, which may know it.
    has_forgotten: bool,
    /// 410 came and nothing was understood since.
    is_gone: bool,
    /// The objects that could not be read and were logged, as far as there is room for them
    logged: BTreeSet<String>,
}

/// Whether the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureClass {
    Refused,
    NotReached,
}

#[derive(Clone, Debug)]
enum Phase {
    /// A list is due or under way.
    Listing(ListProgress),
    /// A watch is to be opened.
    Ready,
    Watching(OpenWatch),
}

#[derive(Clone, Debug, Default)]
struct ListProgress {
    continuation: Option<String>,
    /// `Init` was said.
    begun: bool,
    items: usize,
    unreadable: usize,
}

#[derive(Clone, Copy, Debug)]
struct OpenWatch {
    since: Mono,
    /// A frame was understood.
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

    /// Takes in what came of the last step. `random` are 64 random bits. An input that doesn't fit the step is ignored.
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
        self.heard_at = now;
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
            // A continue token that fails again may be the cause. The first page always starts over.
            if listing.continuation.is_none() || !is_first {
                *listing = ListProgress::default();
            }
        } else if now.since(self.heard_at) >= SILENCE {
            return self.relist(Relist::Silence, now, rest);
        }
        self.rest(now, rest, if floor.is_none() { Cut::WhenOthersGetThrough } else { Cut::Never });
        Reaction::note(WatchNote::BackedOff { failure, rest, nth })
    }

    /// How often in a row the server failed in this way. What it refuses at first after it was away (its own rights are
    /// not loaded yet) it may give a moment later.
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
        self.heard_at = now;
        self.refusals.reset();
        self.last_failure = None;
        self.is_gone = false;
    }

    /// The first error object resumes, as the fault may pass; a second one in a row lists.
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
        if now.since(self.heard_at) >= SILENCE {
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
    /// Says `Init` if it wasn't said yet.
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

/// Spreads the nodes whose watches ended in the same moment.
const RESUME_WITHIN: Duration = Duration::from_millis(200);
/// A watch that ends sooner without a word is no better than a refusal (client-go's "very short watch").
const STILLBORN: Duration = Duration::from_secs(1);
/// Bookmarks come about once a minute. A server that says nothing for so long may hold an older state than we do (etcd
/// restored from a backup) and would never speak again.
pub const SILENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
