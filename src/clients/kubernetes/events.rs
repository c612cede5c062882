//! Events on refused pods: creates them, or raises their count by a merge patch. Needs `create` and `patch` on
//! `events`.

use ureq::Body;
use ureq::http::{HeaderValue, Response};

use super::{ApiServer, CallKind, authorized, encoded, named, refusal};
use crate::logic::cluster::kubernetes::KubernetesFailure;
use crate::logic::operator::events::Notice;
use crate::ports::Events;

/// Whether a write is real or a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    Done,
    /// `dryRun=All`: authorized and validated, but not stored
    Tried,
}

impl Events for ApiServer {
    fn write(&self, notice: &Notice) -> Result<(), KubernetesFailure> {
        self.write_event(notice, WriteMode::Done)
    }
}

impl ApiServer {
    /// Writes an Event, or tries it as a dry run.
    pub fn write_event(&self, notice: &Notice, mode: WriteMode) -> Result<(), KubernetesFailure> {
        let events = format!("{}/api/v1/namespaces/{}/events", self.server, encoded(&notice.namespace));
        let dry_run = match mode {
            WriteMode::Done => "",
            WriteMode::Tried => "?dryRun=All",
        };
        let create = || self.send(EventVerb::Create, &format!("{events}{dry_run}"), &notice.object);
        let change = || self.send(EventVerb::Patch, &format!("{events}/{}{dry_run}", notice.name), &notice.change);
        // an earlier agent may have created the Event, and an Event of this agent may have expired
        let (first, second, otherwise): (_, &dyn Fn() -> _, _) = match notice.count {
            0 | 1 => (create()?, &change, CONFLICT),
            _ => (change()?, &create, NOT_FOUND),
        };
        let response = if first.status() == otherwise { second()? } else { first };
        if response.status().is_success() { Ok(()) } else { Err(named("write", "events", refusal(response))) }
    }

    /// Tries to patch an Event as a dry run. 404 counts as success: only an authorized client gets it.
    pub fn try_change(&self, notice: &Notice) -> Result<(), KubernetesFailure> {
        let namespace = encoded(&notice.namespace);
        let url = format!("{}/api/v1/namespaces/{namespace}/events/{}?dryRun=All", self.server, notice.name);
        let response = self.send(EventVerb::Patch, &url, &notice.change)?;
        let may = response.status().is_success() || response.status() == NOT_FOUND;
        if may { Ok(()) } else { Err(named("patch", "events", refusal(response))) }
    }

    fn send(&self, verb: EventVerb, url: &str, body: &str) -> Result<Response<Body>, KubernetesFailure> {
        let call = |bearer: Option<&HeaderValue>| {
            let (request, content) = match verb {
                EventVerb::Create => (self.connections.agent().post(url), "application/json"),
                EventVerb::Patch => (self.connections.agent().patch(url), "application/merge-patch+json"),
            };
            let request = self.bounded(request.header("accept", "application/json"), CallKind::List);
            authorized(request.content_type(content), bearer).send(body)
        };
        self.call(&call).map_err(|failure| named("write", "events", failure))
    }
}

#[derive(Clone, Copy)]
enum EventVerb {
    Create,
    Patch,
}

const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;
