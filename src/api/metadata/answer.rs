//! Shared by metadata and container credentials: obtaining permitted credentials, and repeating the decision after a
//! wait.

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

/// The result of a step: a response, with reason and cause if it is a refusal.
pub(in crate::api) struct Answer {
    pub(in crate::api) response: Response,
    pub(in crate::api) reason: Option<Reason>,
    pub(in crate::api) cause: Option<String>,
}

/// Repeats a decision made before a wait.
pub(in crate::api) type DecideAgain<'a> = &'a dyn Fn(&World, Option<&Rules>, Patience, Now) -> Decision<'a>;

impl Service {
    /// Credentials for a permitted request. Calls `is_still_right` if they took a wait.
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

    /// Checks after a wait that the decision would still yield the same role of the same pod. It fails if meanwhile the
    /// address became ambiguous, or a role or rule changed; waits if a role list must be evaluated again.
    pub(in crate::api) fn decide_again(
        &self,
        permitted: &Permitted,
        deadline: Mono,
        again: DecideAgain<'_>,
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

/// SDKs time out after one or a few seconds; a longer call continues, for the next request.
const WAIT_FOR_STS: Duration = Duration::from_secs(5);
