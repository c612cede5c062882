//! Objects that can't be parsed: each invalidates only its own state.

use super::{Logged, Phase, RESUME_WITHIN, Reaction, Relist, Watch, WatchNote};
use crate::logic::base::backoff::share;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, ResourceVersion, Unreadable};

impl Watch {
    /// Forgets the known state of the object. If the line may concern any object, only a new list shows which state
    /// is outdated.
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

    /// If the object is identified, its state is forgotten at once; otherwise it is swept at the end of the list.
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

/// Limit of object names in the log. Unparsable objects don't occur in practice, but a faulty server may send many.
pub(super) const MOST_LOGGED: usize = 64;
