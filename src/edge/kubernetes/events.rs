//! The one thing besides the node's taint that is ever written to the API server: Events on refused pods.

use ureq::Body;
use ureq::http::Response;

use super::{ApiServer, Patience, bearer, refusal, unavailable};
use crate::edge::agent::cause;
use crate::logic::events::Notice;
use crate::logic::kubernetes::{KubernetesFailure, KubernetesFailureKind};

/// Whether something is done, or only tried as if.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earnest {
    Done,
    /// `dryRun=All`: judged like the real thing, without a trace
    Tried,
}

impl ApiServer {
    /// Writes an Event, or counts up the one that is there.
    pub fn write_event(&self, notice: &Notice, earnest: Earnest) -> Result<(), KubernetesFailure> {
        let events = format!("{}/api/v1/namespaces/{}/events", self.server, notice.namespace);
        let dry_run = match earnest {
            Earnest::Done => "",
            Earnest::Tried => "?dryRun=All",
        };
        let create = || self.write(Verb::Post, &format!("{events}{dry_run}"), &notice.object);
        let change = || self.write(Verb::Patch, &format!("{events}/{}{dry_run}", notice.name), &notice.change);
        // an Event of an earlier agent may be there, and one of ours may have ended by now
        let (first, second, otherwise) = match notice.count {
            0 | 1 => (create()?, &change as &dyn Fn() -> _, CONFLICT),
            _ => (change()?, &create as &dyn Fn() -> _, NOT_FOUND),
        };
        let response = if first.status() == otherwise { second()? } else { first };
        if response.status().is_success() { Ok(()) } else { Err(named(refusal(response))) }
    }

    fn write(&self, verb: Verb, url: &str, body: &str) -> Result<Response<Body>, KubernetesFailure> {
        let token = self.tokens.current(self.clock.now().mono).map_err(named)?;
        let bearer = token.as_ref().map(bearer).transpose().map_err(named)?;
        let (request, content) = match verb {
            Verb::Post => (self.agent.post(url), "application/json"),
            Verb::Patch => (self.agent.patch(url), "application/merge-patch+json"),
        };
        let mut request = request.header("accept", "application/json").header("content-type", content);
        if let Some(bearer) = bearer {
            request = request.header("authorization", bearer);
        }
        // never twice: a lost Event is told again
        self.bounded(request, Patience::List).send(body).map_err(|error| named(unavailable(cause(&error))))
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Post,
    Patch,
}

fn named(failure: KubernetesFailure) -> KubernetesFailure {
    let verb = if failure.kind == KubernetesFailureKind::Forbidden { "create or patch" } else { "write" };
    KubernetesFailure { cause: format!("failed to {verb} `events`: {}", failure.cause), ..failure }
}

const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;
