//! Objects that can't be read: each costs only what was known of it.

use super::{Logged, Phase, RESUME_WITHIN, Reaction, Relist, Watch, WatchNote};
use crate::logic::base::backoff::share;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, ResourceVersion, Unreadable};

impl Watch {
    /// What was known of the object is forgotten. If it may be any object, only a list shows which one isn't known any
    /// more.
    pub(super) fn unreadable_line(
        &mut self,
        object: Unreadable,
        version: Option<ResourceVersion>,
        now: Mono,
        random: u64,
    ) -> Reaction {
        if object.identity.is_known(object.resource) {
            self.understood(version, now);
            self.has_forgotten = true;
            let forget = Event::Forget(object.identity.clone());
            return Reaction { events: [Some(forget), None], note: Some(self.note_of(object)) };
        }
        let is_first = self.faults.is_fresh();
        let backed_off = self.faults.next(None, random);
        let rest = if is_first { share(RESUME_WITHIN, random) } else { backed_off };
        self.relist(Relist::Unreadable(object.why), now, rest)
    }

    /// What the list can't name is forgotten at its end; what is known by name, at once.
    pub(super) fn unreadable_item(&mut self, object: Unreadable) -> Reaction {
        let note = Some(self.note_of(object.clone()));
        let Phase::Listing(listing) = &mut self.phase else { return Reaction::default() };
        listing.unreadable += 1;
        let reaction = match object.identity.is_known(object.resource) {
            true => listing.begin_with(Event::Forget(object.identity)),
            false => listing.begin(),
        };
        Reaction { note, ..reaction }
    }

    fn note_of(&mut self, object: Unreadable) -> WatchNote {
        let name = object.identity.to_string();
        let is_news = self.logged.len() < MOST_LOGGED && self.logged.insert(name);
        WatchNote::Unreadable { object, logged: if is_news { Logged::No } else { Logged::Before } }
    }
}

/// Objects that are named in the log. No cluster has an object that can't be read; a server gone mad has many.
pub(super) const MOST_LOGGED: usize = 64;
