//! STS and the metadata service as one agent sees them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube2iam::for_tests::{
    AssumeRole, Assumed, CanonicalPath, Credentials, Forwarded, Imds, ImdsFailure, MOST_CALLS, NodeCredentials,
    OwnRole, Response, Secret, Sts, StsFailure, StsFailureKind, TokenRefusal, Wall,
};
use serde_json::Value;

use crate::plants::Plant;
use crate::pods;
use crate::secrets::CANARY;
use crate::sim::Sim;
use crate::truth::{Mint, OWN_ROLE};

pub struct SimSts {
    pub sim: Arc<Sim>,
    pub agent: usize,
}

impl SimSts {
    /// Counts the call in, and says which promises it breaks.
    fn begin(&self, request: &AssumeRole) {
        let now = self.sim.stage.now();
        let mut truth = self.sim.truth.lock();
        let asked =
            truth.asking.iter().any(|asking| asking.agent == self.agent && asking.role == request.role.as_str());
        // A token comes only with a request.
        if !asked && request.subject.is_none() {
            truth.unasked.entry(self.agent).or_default().push(now);
        }
        let calls = truth.calls.entry(self.agent).or_default();
        let twice = calls.contains(request);
        calls.push(request.clone());
        let count = calls.len();
        drop(truth);
        if twice {
            self.sim.stage.blame("one call per session", &format!("two for {}", request.role));
        }
        if count > MOST_CALLS {
            self.sim.stage.blame("the budget of STS is kept", &format!("{count} calls at a time"));
        }
    }

    fn end(&self, request: &AssumeRole) {
        let now = self.sim.stage.now();
        let mut truth = self.sim.truth.lock();
        let calls = truth.calls.entry(self.agent).or_default();
        let at = calls.iter().position(|call| call == request).expect("it was counted in");
        calls.remove(at);
        truth.finished.push((self.agent, request.clone(), now));
    }

    fn trouble(&self) -> Option<StsFailure> {
        if self.sim.strikes(|swarm| swarm.throttles, 4) {
            return Some(failure(StsFailureKind::Throttled, "Throttling"));
        }
        if self.sim.swarm.by_token && self.sim.strikes(|swarm| swarm.late, 9) {
            return Some(failure(StsFailureKind::Token(TokenRefusal::Expired), "ExpiredTokenException"));
        }
        if self.sim.strikes(|swarm| swarm.denies, 5) {
            let mut refused = failure(StsFailureKind::Refused, "AccessDenied");
            if self.sim.has(Plant::FailureTellsSecret) {
                refused.message = format!("you sent {CANARY}");
            }
            return Some(refused);
        }
        if self.sim.strikes(|swarm| swarm.hangs, 6) {
            self.sim.stage.pause(30_000_000);
            return Some(failure(StsFailureKind::Unavailable, "Timeout"));
        }
        if self.sim.strikes(|swarm| swarm.late, 5) {
            self.sim.stage.pause(self.sim.roll(25_000_000));
        }
        None
    }

    fn mint(&self, request: &AssumeRole) -> Assumed {
        let (now, number) = (self.sim.stage.now(), self.sim.number());
        let life_s = self.sim.swarm.granted_s.min(request.duration_s.into());
        let (id, ends) = (format!("ASIA{number:016X}"), now + life_s * 1_000_000);
        let mut meant = request.clone();
        if self.sim.has(Plant::KeyForgetsExternalId) {
            meant.external_id = self.first_external_id(request);
        }
        self.sim.stage.note(&format!("agent {}: {id} of {} for {life_s} s", self.agent, request.role.name()));
        self.sim.truth.lock().mints.insert(id.clone(), Mint { request: meant, at: now, ends });
        let expiration = self.sim.stage.wall_ms() + i64::try_from(life_s * 1_000).unwrap();
        let secret = |what: &str| Secret::new(format!("{CANARY}-{what}-{number:016x}"));
        let credentials = Credentials {
            access_key_id: id,
            secret_access_key: secret("key"),
            session_token: Some(secret("token")),
            expiration: Some(Wall::from_unix_millis(expiration)),
        };
        Assumed { credentials, life: Duration::from_secs(life_s) }
    }

    /// What the first pod that has the role would have said, had it been asked.
    fn first_external_id(&self, request: &AssumeRole) -> Option<String> {
        let truth = self.sim.truth.lock();
        let first = truth.cluster.living().find(|(_, pod)| pod.role.as_deref() == Some(request.role.name()));
        first.and_then(|(_, pod)| pod.external_id.clone())
    }
}

/// What Kubernetes claims in a token.
fn claims(token: &str) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&part).unwrap()["kubernetes.io"].take()
}

impl SimSts {
    fn blame_signature(&self, what: &str) {
        if self.sim.swarm.by_token {
            self.sim.stage.blame("no call bears the node's key", what);
        }
    }

    fn answer(&self, request: &AssumeRole) -> Result<Assumed, StsFailure> {
        self.begin(request);
        self.sim.stage.pause(20_000 + self.sim.roll(300_000));
        let trouble = self.trouble();
        let panics = self.sim.strikes(|swarm| swarm.panics, 8);
        self.end(request);
        if panics {
            // Without the hook: nobody needs to read of it.
            resume_unwind(Box::new("as the seed wants it"));
        }
        match trouble {
            Some(failure) => Err(failure),
            None => Ok(self.mint(request)),
        }
    }
}

impl Sts for SimSts {
    fn assume_role(&self, request: &AssumeRole) -> Result<Assumed, StsFailure> {
        self.blame_signature(&format!("one for {}", request.role));
        self.answer(request)
    }

    fn assume_role_with_web_identity(
        &self,
        request: &AssumeRole,
        token: &Secret<String>,
    ) -> Result<Assumed, StsFailure> {
        let subject = request.subject.as_ref().map(|subject| (&*subject.namespace, &*subject.service_account));
        let of = claims(token.expose());
        let named = (of["namespace"].as_str().unwrap(), of["serviceaccount"]["name"].as_str().unwrap());
        if subject != Some(named) {
            self.sim.stage.blame("only what is permitted is given", &format!("a token of {named:?} for {subject:?}"));
        }
        self.answer(request)
    }

    fn caller_identity(&self) -> Result<String, StsFailure> {
        self.blame_signature("GetCallerIdentity");
        self.sim.stage.pause(20_000 + self.sim.roll(200_000));
        match self.trouble() {
            Some(failure) => Err(failure),
            None => Ok(format!("arn:aws:sts::123456789012:assumed-role/{OWN_ROLE}/i-1")),
        }
    }
}

fn failure(kind: StsFailureKind, code: &str) -> StsFailure {
    StsFailure { kind, code: code.to_owned(), message: "as the seed wants it".to_owned(), request_id: None }
}

pub struct SimCredentials;

impl NodeCredentials for SimCredentials {
    fn current(&self, _: Duration) -> Result<Arc<Credentials>, StsFailure> {
        Err(failure(StsFailureKind::NoNodeCredentials, "None"))
    }

    fn reload(&self, _: &Credentials) {}

    fn describe(&self) -> String {
        "the seed".to_owned()
    }

    fn role(&self) -> Option<OwnRole> {
        Some(OwnRole { account: "123456789012".to_owned(), name: OWN_ROLE.to_owned() })
    }
}

pub struct SimImds {
    pub sim: Arc<Sim>,
    pub agent: usize,
}

impl Imds for SimImds {
    fn forward(&self, _: Forwarded, _: &CanonicalPath, _: Option<&[u8]>) -> Result<Response, ImdsFailure> {
        let peer = pods::asking_as().expect("only pods' requests are forwarded");
        let place = (self.agent, peer);
        let under_way = {
            let mut truth = self.sim.truth.lock();
            let count = truth.forwards.entry(place).or_default();
            *count += 1;
            *count
        };
        if under_way > MOST_FORWARDS {
            self.sim.stage.blame("no cap is exceeded", &format!("{under_way} forwards of {peer}"));
        }
        self.sim.stage.pause(self.sim.roll(1_900_000));
        *self.sim.truth.lock().forwards.entry(place).or_default() -= 1;
        Ok(Response::text(200, "ip-10-0-0-1.ec2.internal"))
    }

    fn read(&self, _: &str) -> Result<String, ImdsFailure> {
        self.sim.stage.pause(self.sim.roll(50_000));
        if self.sim.strikes(|swarm| swarm.refusals, 3) {
            return Err(ImdsFailure { status: Some(503), cause: "as the seed wants it".to_owned() });
        }
        Ok("i-0123456789abcdef0".to_owned())
    }
}

/// Of one pod (manifests/docs/operate.md, "Limits")
const MOST_FORWARDS: usize = 4;
