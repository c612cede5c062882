//! What both ways in share: credentials of a pod that may have them, and the second look before they go out.

use std::sync::Arc;
use std::time::Duration;

use super::Service;
use crate::logic::base::time::{Mono, Now};
use crate::logic::cluster::world::World;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Decision, Patience, Permitted, Rules};
use crate::logic::request::message::Response;
use crate::logic::request::reply;
use crate::logic::request::route::{DocumentForm, Route};
use crate::logic::sessions::session::Session;
use crate::logic::sts::StsFailure;
use crate::state::sessions::{SessionOutcome, SessionRequester};

/// What a step came to: an answer, and why if it is a refusal.
pub(in crate::api) struct Answer {
    pub(in crate::api) response: Response,
    pub(in crate::api) reason: Option<Reason>,
    pub(in crate::api) cause: Option<String>,
}

/// Decides again what was decided before a wait.
pub(in crate::api) type Again<'a> = &'a dyn Fn(&World, Option<&Rules>, Patience, Now) -> Decision<'a>;

impl Service {
    /// Credentials for a pod that may have them. `is_still_right` is asked if that took waiting.
    pub(in crate::api) fn assume(
        &self,
        permitted: &Permitted,
        form: DocumentForm,
        route: &Route,
        requester: SessionRequester<'_>,
        at: Now,
        is_still_right: &dyn Fn(&Permitted) -> Result<(), Reason>,
    ) -> Answer {
        let deadline = at.mono.after(WAIT_FOR_STS);
        let session = match self.sessions.obtain(permitted, requester, deadline) {
            SessionOutcome::Ready(session) => return self.hand_out_again(permitted, &session, form, at.mono),
            SessionOutcome::Fetched(session) => session,
            SessionOutcome::Refused(failure) => return Answer::refused_by_sts(&failure, route),
            SessionOutcome::Remembered(failure) => {
                self.telemetry.metrics.sessions.cache_hit(permitted.request().role.as_str());
                return Answer::refused_by_sts(&failure, route);
            }
            SessionOutcome::TimedOut => return Answer::refuse(Reason::StsTimeout, route),
            SessionOutcome::Busy => return Answer::refuse(Reason::Busy, route),
        };
        if let Err(reason) = is_still_right(permitted) {
            return Answer::refuse(reason, route);
        }
        self.hand_out(&session, form, self.clock.now().mono)
    }

    fn hand_out_again(&self, permitted: &Permitted, session: &Arc<Session>, form: DocumentForm, now: Mono) -> Answer {
        self.telemetry.metrics.sessions.cache_hit(permitted.request().role.as_str());
        self.hand_out(session, form, now)
    }

    fn hand_out(&self, session: &Arc<Session>, form: DocumentForm, now: Mono) -> Answer {
        self.telemetry.metrics.sessions.handed_out(now.until(session.ends));
        Answer::ok(match form {
            DocumentForm::Plain => reply::document(session.document.clone()),
            DocumentForm::Extended => reply::document(Arc::new(session.extended())),
            DocumentForm::Container => reply::container_document(Arc::new(session.container())),
        })
    }

    /// The second look, after a wait: whether the same question would still be answered with the same role of the same
    /// pod. An address that has become ambiguous meanwhile, a changed role or a changed rule all say no; what a list
    /// says is waited for if it has to be found out again.
    pub(in crate::api) fn look_again(
        &self,
        permitted: &Permitted,
        deadline: Mono,
        again: Again<'_>,
    ) -> Result<(), Reason> {
        let is_same =
            |again: &Permitted| again.pod().uid == permitted.pod().uid && again.request() == permitted.request();
        loop {
            let (seen, now) = (self.world.seen(), self.clock.now());
            let patience = if now.mono >= deadline { Patience::Exhausted } else { Patience::Left };
            match self.world.read(|world, rules| again(world, rules, patience, now)) {
                Decision::Assume(again, _) if is_same(&again) => return Ok(()),
                Decision::NotYet(Reason::PolicyPending) => self.world.ask_for(permitted.pod()),
                Decision::Refuse(reason @ (Reason::WorldStale | Reason::PolicyPending)) => return Err(reason),
                _ => return Err(Reason::OwnerChanged),
            }
            self.world.wait(seen, deadline);
        }
    }
}

impl Answer {
    pub(in crate::api) fn ok(response: Response) -> Self {
        Self { response, reason: None, cause: None }
    }

    pub(in crate::api) fn refuse(reason: Reason, route: &Route) -> Self {
        Self { response: reply::refusal(reason, route), reason: Some(reason), cause: None }
    }

    pub(in crate::api) fn refused_by_sts(failure: &StsFailure, route: &Route) -> Self {
        Self::refuse_because(Reason::of_sts(failure), route, failure.to_string())
    }

    pub(in crate::api) fn refuse_because(reason: Reason, route: &Route, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::refuse(reason, route) }
    }
}

/// SDKs give up after a second or a few; a call that takes longer goes on for the next one who asks.
const WAIT_FOR_STS: Duration = Duration::from_secs(5);
