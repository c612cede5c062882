//! One request of the node's operator over the control socket, end to end. Everything is read-only, except the log
//! level.

mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::metadata::{Found, Service};
use crate::config::{log_level, log_levels};
use crate::logic::base::json;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{AnnotationKeys, Resource};
use crate::logic::operator::explain::{self, Scene, Story, StsCall, Subject};
use crate::logic::operator::status::RedirectReport;
use crate::logic::policy::reason::Reason;
use crate::os::control_socket::{ControlAnswer, ControlRequest, ControlVerb};
use crate::os::log_writer::LogLevel;
use crate::ports::NodeCredentials;

/// The dependencies of the operator's requests.
pub struct Control {
    pub service: Arc<Service>,
    pub node_credentials: Arc<dyn NodeCredentials>,
    pub annotations: AnnotationKeys,
    /// The watched resources
    pub resources: Vec<Resource>,
    /// The API server's URL
    pub api_server: String,
    /// `--node`
    pub node: Option<String>,
    pub log: LogLevel,
    pub started: Mono,
    pub most_connections: usize,
    /// `None`: without a redirect
    pub redirect: Box<dyn Fn() -> Option<RedirectReport> + Send + Sync>,
    /// `None`: without `--container-credentials`
    pub credentials_address: Box<dyn Fn() -> Option<RedirectReport> + Send + Sync>,
}

fn is_refused_for(story: &Story, reason: Reason) -> bool {
    story.explanation.reason.as_deref() == Some(reason.word())
}

impl Control {
    /// Answers one request. A panic fails only this request.
    pub fn answer(&self, request: &ControlRequest) -> ControlAnswer {
        catch_unwind(AssertUnwindSafe(|| self.route(request)))
            .unwrap_or_else(|_| refused(500, "an internal error of the agent: see its log"))
    }

    fn route(&self, request: &ControlRequest) -> ControlAnswer {
        match (request.verb, request.path.as_str()) {
            (ControlVerb::Get, "/status") => {
                let status = self.status();
                match request.parameter("form") {
                    Some("text") => good(&json!({ "text": status.text(), "ready": status.ready })),
                    _ => good(&status),
                }
            }
            (ControlVerb::Get, "/explain") => self.explain(request),
            (ControlVerb::Get, "/log-level") => good(&self.level()),
            (ControlVerb::Post, "/log-level") => self.set_level(request.parameter("level").unwrap_or_default()),
            (_, "/status" | "/explain" | "/log-level") => refused(405, "this method is not allowed here"),
            _ => refused(404, "there is no such page: /status, /explain?subject=NAMESPACE/POD, /log-level"),
        }
    }

    fn explain(&self, request: &ControlRequest) -> ControlAnswer {
        let text = request.parameter("subject").unwrap_or_default();
        let Some(subject) = Subject::parse(text) else {
            return refused(400, "`subject` must be NAMESPACE/POD or an address");
        };
        let story = self.story(&subject);
        let explanation = match &story.permitted {
            None => story.explanation,
            Some(permitted) => {
                let (standing, failure) = self.service.sessions.standing(permitted.request());
                let failure = failure.as_ref().map(|(failure, at)| (failure, *at));
                let call = if standing.under_way { StsCall::Pending } else { StsCall::None };
                story.with_credentials(standing.session.as_deref(), call, failure)
            }
        };
        reply(request, &explanation, &|| explanation.text(text))
    }

    /// The outcome of a request, including what it would wait for: the evaluation of its namespace's role list, and a
    /// live list for an address claimed by several pods.
    fn story(&self, subject: &Subject) -> Story {
        let deadline = self.service.clock.now().mono.after(self.service.wait_for_pod);
        let story = self.evaluated(subject, None, deadline);
        let (true, Some(peer), Some(duplicates)) =
            (is_refused_for(&story, Reason::AmbiguousAddress), story.peer, &self.service.duplicates)
        else {
            return story;
        };
        match duplicates.resolve(peer, deadline) {
            Found::Holder(chosen) => self.evaluated(subject, Some(&chosen), deadline),
            Found::Nobody | Found::Busy => story,
        }
    }

    fn evaluated(&self, subject: &Subject, chosen: Option<&str>, deadline: Mono) -> Story {
        loop {
            let seen = self.service.world.seen();
            let story = self.explain_pod(subject, chosen);
            let Some(pod) = story.pod.as_ref().filter(|_| is_refused_for(&story, Reason::PolicyPending)) else {
                return story;
            };
            if self.service.clock.now().mono >= deadline {
                return story;
            }
            self.service.world.ask_for(pod);
            self.service.world.wait(seen, deadline);
        }
    }

    fn explain_pod(&self, subject: &Subject, chosen: Option<&str>) -> Story {
        let now = self.service.clock.now();
        let keys = self.service.keys.current();
        self.service.world.read(|world, rules| {
            let scene = Scene {
                world,
                rules,
                keys: &keys,
                tokens: self.service.tokens,
                annotations: &self.annotations,
                now: now.wall,
                at: now.mono,
                silence: world.is_listed(Resource::Pods).then(|| world.age(Resource::Pods, now.mono)),
                node: self.node.as_deref(),
                chosen,
            };
            explain::explain(&scene, subject)
        })
    }

    fn level(&self) -> Value {
        json!({ "level": self.log.get().as_str().to_ascii_lowercase() })
    }

    fn set_level(&self, word: &str) -> ControlAnswer {
        let Some(level) = log_level(word) else {
            return refused(400, &format!("allowed is {}", log_levels()));
        };
        let was = self.log.get();
        self.log.set(level);
        // not an error, although only that would be logged at every level
        log::warn!("the log level is `{level}` now, after `{was}`");
        good(&self.level())
    }
}

/// The answer as JSON, or with `form=text` as text.
fn reply(request: &ControlRequest, whole: &impl Serialize, text: &dyn Fn() -> String) -> ControlAnswer {
    match request.parameter("form") {
        Some("text") => good(&json!({ "text": text() })),
        _ => good(whole),
    }
}

fn good(value: &impl Serialize) -> ControlAnswer {
    ControlAnswer { status: 200, json: json::text(value) }
}

fn refused(status: u16, error: &str) -> ControlAnswer {
    ControlAnswer { status, json: json::text(&json!({ "error": error })) }
}
