//! One picture of one resource, kept by list and watch: what to do next, and what every answer means for the picture.
//! A pure machine; `reflect` carries out its steps.
//!
//! - The version only ever comes from what was understood: a finished list, a frame, a bookmark.
//! - An established watch that ends resumes at its version after at most 200 ms. Only failures in a row back off.
//! - Whatever can't be trusted is repaired by a list: a version too old (410), a line that couldn't be read (when its
//!   watch ends, since later versions hide it), an endless line, errors in a row, or long silence.
//! - A list that starts over says `Init` again, so that what an abandoned one brought is swept like everything else.

use std::time::Duration;

use super::backoff::{Backoff, share};
use super::kubernetes::{Event, Frame, KubernetesFailure, KubernetesFailureKind, Object, Page, Version};
use super::time::Mono;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read a page: the first, or the one where `continuation` leads.
    List { continuation: Option<String> },
    /// Open a watch from `version` on.
    Watch { version: Version },
    /// Read the next line of the open watch.
    Read,
    /// Hold no watch open, and wait.
    Rest { until: Mono },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An item of the page that is being read.
    Item(Object),
    /// The page was read to its end.
    Page(Page),
    /// The page, or the opening of a watch, failed.
    Refused(KubernetesFailure),
    Opened,
    Line(Frame),
    /// The next line exceeds its limit.
    TooLong,
    /// The open watch ended; `None`: in good order.
    Ended(Option<KubernetesFailure>),
}

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// To be applied to the picture, in this order.
    pub events: [Option<Event>; 2],
    pub note: Option<Note>,
}

/// What is worth a log line or a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The picture is whole.
    Listed { items: usize, unreadable: usize },
    /// A watch was established.
    Watching,
    /// A frame was understood: the picture is as new as this moment.
    Heard,
    /// An established watch ended and is resumed after `rest`.
    Ended { cause: Option<String>, rest: Duration },
    /// The server gave no usable answer; the same is tried after `rest`.
    BackedOff { failure: KubernetesFailure, rest: Duration },
    /// The picture is listed anew after `rest`.
    Relisting { why: Relist, rest: Duration },
    /// A line was skipped, the `nth` since the start: count each, log the first.
    Unreadable { why: String, nth: u64 },
}

/// Why a watch can't go on from its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relist {
    /// 410 in either form; the server's words.
    Gone(String),
    /// The server reported errors in a row; its words.
    Failed(String),
    /// A line could not be read.
    Unreadable,
    /// A line exceeded its limit.
    TooLong,
    /// Nothing was heard for [`SILENCE`].
    Silence,
}

/// The state of list and watch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    phase: Phase,
    /// The last version understood.
    version: Version,
    rest_until: Mono,
    /// When the last list ended or the last frame was understood.
    heard_at: Mono,
    /// Failures in a row.
    refusals: Backoff,
    /// Watches in a row that had to be repaired.
    faults: Backoff,
    /// 410 came and nothing was understood since.
    is_gone: bool,
    unreadable_lines: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    /// A list is due or under way.
    Listing(Listing),
    /// A watch is to be opened.
    Ready,
    Watching(Open),
}

#[derive(Clone, Debug, Default)]
struct Listing {
    continuation: Option<String>,
    /// `Init` was said.
    begun: bool,
    items: usize,
    unreadable: usize,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Mono,
    /// A frame was understood.
    heard: bool,
    /// A line was not.
    faulty: bool,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Listing(Listing::default())
    }
}

impl Watch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn next(&self, now: Mono) -> Step {
        if now < self.rest_until {
            return Step::Rest { until: self.rest_until };
        }
        match &self.phase {
            Phase::Listing(listing) => Step::List { continuation: listing.continuation.clone() },
            Phase::Ready => Step::Watch { version: self.version.clone() },
            Phase::Watching(_) => Step::Read,
        }
    }

    /// Takes in what came of the last step. `dice` are 64 random bits. An input that doesn't fit the step is ignored.
    pub fn on(&mut self, input: Input, now: Mono, dice: u64) -> Reaction {
        match (input, &mut self.phase) {
            (Input::Item(object), Phase::Listing(listing)) => {
                listing.items += 1;
                listing.begin_with(Event::InitApply(object))
            }
            (Input::Page(page), Phase::Listing(_)) => self.page(page, now),
            (Input::Refused(failure), Phase::Listing(_) | Phase::Ready) => self.refused(failure, now, dice),
            (Input::Opened, Phase::Ready) => {
                self.phase = Phase::Watching(Open { since: now, heard: false, faulty: false });
                Reaction::note(Note::Watching)
            }
            (Input::Line(frame), Phase::Watching(_)) => self.line(frame, now, dice),
            (Input::TooLong, Phase::Watching(_)) => {
                let rest = self.faults.next(None, dice);
                self.relist(Relist::TooLong, now, rest)
            }
            (Input::Ended(failure), &mut Phase::Watching(open)) => self.ended(open, failure, now, dice),
            _ => Reaction::default(),
        }
    }

    fn page(&mut self, page: Page, now: Mono) -> Reaction {
        let Phase::Listing(listing) = &mut self.phase else { return Reaction::default() };
        self.refusals.reset();
        listing.unreadable += page.unreadable;
        if page.continuation.is_some() {
            listing.continuation = page.continuation;
            return listing.begin();
        }
        let note = Note::Listed { items: listing.items, unreadable: listing.unreadable };
        let reaction = listing.begin_with(Event::InitDone);
        self.version = page.version;
        self.heard_at = now;
        self.phase = Phase::Ready;
        Reaction { note: Some(note), ..reaction }
    }

    fn refused(&mut self, failure: KubernetesFailure, now: Mono, dice: u64) -> Reaction {
        let floor = match failure.kind {
            KubernetesFailureKind::Gone => return self.gone(failure.cause, now, dice),
            KubernetesFailureKind::Unavailable { retry_after_s } => {
                retry_after_s.map(u64::from).map(Duration::from_secs)
            }
            KubernetesFailureKind::Unauthorized | KubernetesFailureKind::Forbidden => None,
        };
        let is_first = self.refusals.is_fresh();
        let rest = self.refusals.next(floor, dice);
        if let Phase::Listing(listing) = &mut self.phase {
            // A continue token that fails again may be the cause. The first page always starts over.
            if listing.continuation.is_none() || !is_first {
                *listing = Listing::default();
            }
        } else if now.since(self.heard_at) >= SILENCE {
            return self.relist(Relist::Silence, now, rest);
        }
        self.rest_until = now.after(rest);
        Reaction::note(Note::BackedOff { failure, rest })
    }

    fn line(&mut self, frame: Frame, now: Mono, dice: u64) -> Reaction {
        let (event, version) = match frame {
            Frame::Added(object, version) | Frame::Modified(object, version) => (Some(Event::Apply(object)), version),
            Frame::Deleted(object, version) => (Some(Event::Delete(object)), version),
            Frame::Bookmark(version) => (None, version),
            Frame::Gone(message) => return self.gone(message, now, dice),
            Frame::Failed(message) => return self.failed(message, now, dice),
            Frame::Unreadable(why) => return self.unreadable(why),
        };
        if let Phase::Watching(open) = &mut self.phase {
            open.heard = true;
        }
        self.version = version;
        self.heard_at = now;
        self.refusals.reset();
        self.is_gone = false;
        Reaction { events: [event, None], note: Some(Note::Heard) }
    }

    fn unreadable(&mut self, why: String) -> Reaction {
        if let Phase::Watching(open) = &mut self.phase {
            open.faulty = true;
        }
        self.unreadable_lines += 1;
        Reaction::note(Note::Unreadable { why, nth: self.unreadable_lines })
    }

    /// The first error object resumes, as the fault may pass; a second one in a row lists.
    fn failed(&mut self, message: String, now: Mono, dice: u64) -> Reaction {
        let is_first = self.faults.is_fresh();
        let rest = self.faults.next(None, dice);
        if !is_first || matches!(self.phase, Phase::Watching(open) if open.faulty) {
            return self.relist(Relist::Failed(message), now, rest);
        }
        self.phase = Phase::Ready;
        self.rest_until = now.after(rest);
        let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
        Reaction::note(Note::BackedOff { failure: KubernetesFailure { kind, cause: message }, rest })
    }

    /// Lists at once, unless the last list already led to a 410.
    fn gone(&mut self, message: String, now: Mono, dice: u64) -> Reaction {
        let rest = if self.is_gone { self.faults.next(None, dice) } else { share(RESUME_WITHIN, dice) };
        self.is_gone = true;
        self.relist(Relist::Gone(message), now, rest)
    }

    fn ended(&mut self, open: Open, failure: Option<KubernetesFailure>, now: Mono, dice: u64) -> Reaction {
        if open.faulty {
            let rest = self.faults.next(None, dice);
            return self.relist(Relist::Unreadable, now, rest);
        }
        if now.since(self.heard_at) >= SILENCE {
            return self.relist(Relist::Silence, now, share(RESUME_WITHIN, dice));
        }
        let is_stillborn = !open.heard && now.since(open.since) < STILLBORN;
        let is_first = self.refusals.is_fresh();
        let backed_off = self.refusals.next(None, dice);
        let rest = if is_stillborn && !is_first { backed_off } else { share(RESUME_WITHIN, dice) };
        if !is_stillborn {
            self.refusals.reset();
        }
        if open.heard {
            self.faults.reset();
        }
        self.phase = Phase::Ready;
        self.rest_until = now.after(rest);
        Reaction::note(Note::Ended { cause: failure.map(|failure| failure.cause), rest })
    }

    fn relist(&mut self, why: Relist, now: Mono, rest: Duration) -> Reaction {
        self.phase = Phase::default();
        self.rest_until = now.after(rest);
        Reaction::note(Note::Relisting { why, rest })
    }
}

impl Listing {
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
    fn note(note: Note) -> Self {
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
