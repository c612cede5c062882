//! A Security Token Service to be played with, over the query protocol and in real STS's XML.
//!
//! Every credential it gives out is unique and recognisable, so that a log can be searched for all of them.
//! It checks what STS checks of the fields, not the signature: that takes real keys (`tests/sdk.rs`).

mod answer;
mod provider;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::wire::Wire;
use super::{PATIENCE, Times};
pub use provider::IdentityProvider;

/// The service, listening until dropped.
pub struct Sts {
    wire: Wire,
    shared: Arc<Shared>,
}

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub action: String,
    /// All form fields, `Action` and `Version` included.
    pub form: BTreeMap<String, String>,
    pub authorization: Option<String>,
    /// `X-Amz-Security-Token`: the caller's own session
    pub security_token: Option<String>,
    pub host: Option<String>,
    /// What it was given, if anything.
    pub granted: Option<Grant>,
}

impl Call {
    /// A form field, empty if it wasn't sent.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }
}

/// Credentials that were given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expiration: String,
}

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StsFault {
    /// An error in STS's own form.
    Refuse {
        status: u16,
        code: &'static str,
        message: &'static str,
    },
    /// No answer until the caller goes away.
    Hang,
    /// 200 and something that isn't XML.
    Garbage,
    /// 200 and half of an answer.
    HalfBody,
    Close,
    /// The right answer, later.
    Slow(Duration),
}

impl StsFault {
    pub const ACCESS_DENIED: Self = Self::Refuse {
        status: 403,
        code: "AccessDenied",
        message: "User: arn:aws:sts::123456789012:assumed-role/node-role/i-1234567890abcdef0 is not authorized to \
                  perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/denied",
    };
    pub const THROTTLING: Self = Self::Refuse { status: 400, code: "Throttling", message: "Rate exceeded" };
    pub const INTERNAL: Self = Self::Refuse { status: 500, code: "InternalFailure", message: "We are working on it" };
    pub const UNAVAILABLE: Self =
        Self::Refuse { status: 503, code: "ServiceUnavailable", message: "Please try again shortly" };
    pub const EXPIRED_TOKEN: Self = Self::Refuse {
        status: 403,
        code: "ExpiredToken",
        message: "The security token included in the request is expired",
    };
    pub const REGION_DISABLED: Self = Self::Refuse {
        status: 403,
        code: "RegionDisabledException",
        message: "STS is not activated in this region for account: 123456789012",
    };
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    canary: String,
    calls: Vec<Call>,
    faults: Vec<(Option<String>, StsFault, Times)>,
    in_flight: usize,
    max_in_flight: usize,
    gate: Gate,
    /// How long a grant lasts, whatever was asked for.
    lifetime: Option<Duration>,
    caller_arn: String,
    /// `None`: tokens are taken as they come, and signatures too
    provider: Option<IdentityProvider>,
}

/// Whether calls are answered or kept waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Held,
}

impl Sts {
    /// Starts with a canary that all its secrets and tokens contain.
    pub fn start(canary: &str) -> Self {
        let state = State {
            canary: canary.to_owned(),
            calls: Vec::new(),
            faults: Vec::new(),
            in_flight: 0,
            max_in_flight: 0,
            gate: Gate::Open,
            lifetime: None,
            caller_arn: "arn:aws:sts::123456789012:assumed-role/node-role/i-1234567890abcdef0".to_owned(),
            provider: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let answering = shared.clone();
        let wire = Wire::start("sts", move |exchange| answer::answer(&answering, exchange));
        Self { wire, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }

    /// The connections: cut them, go down, come back.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Lets calls go wrong, those for one role ARN or all.
    pub fn fault(&self, role_arn: Option<&str>, fault: StsFault, times: Times) {
        self.change(|state| state.faults.push((role_arn.map(str::to_owned), fault, times)));
    }

    pub fn clear_faults(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Keeps calls waiting until [`Sts::release`].
    pub fn hold(&self) {
        self.change(|state| state.gate = Gate::Held);
    }

    pub fn release(&self) {
        self.change(|state| state.gate = Gate::Open);
    }

    /// Grants sessions of this length from now on, whatever is asked for.
    pub fn grant_for(&self, lifetime: Duration) {
        self.change(|state| state.lifetime = Some(lifetime));
    }

    /// What `GetCallerIdentity` says.
    pub fn set_caller(&self, arn: &str) {
        self.change(|state| arn.clone_into(&mut state.caller_arn));
    }

    /// All calls so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state.lock().calls.clone()
    }

    /// For which role credentials were given out, and which; `None`: nobody was ever given this key.
    pub fn grant(&self, access_key_id: &str) -> Option<(String, Grant)> {
        let state = self.shared.state.lock();
        let mut given = state.calls.iter().rev().filter_map(|call| Some((call, call.granted.as_ref()?)));
        let (call, grant) = given.find(|(_, grant)| grant.access_key_id == access_key_id)?;
        Some((call.field("RoleArn").to_owned(), grant.clone()))
    }

    /// How many `AssumeRole` calls there were for a role ARN.
    pub fn assumed(&self, role_arn: &str) -> usize {
        let of_role = |call: &&Call| call.action == "AssumeRole" && call.field("RoleArn") == role_arn;
        self.shared.state.lock().calls.iter().filter(of_role).count()
    }

    pub fn in_flight(&self) -> usize {
        self.shared.state.lock().in_flight
    }

    /// The most calls that were ever waiting at once.
    pub fn max_in_flight(&self) -> usize {
        self.shared.state.lock().max_in_flight
    }

    /// All that must never be in a log: every secret key and session token given out so far.
    pub fn secrets(&self) -> Vec<String> {
        let grants = self.calls().into_iter().filter_map(|call| call.granted);
        grants.flat_map(|grant| [grant.secret_access_key, grant.session_token]).collect()
    }

    /// Waits until there have been `count` calls in all; fails the test when it takes longer than `PATIENCE`.
    pub fn wait_for_calls(&self, count: usize) {
        self.wait(&format!("{count} calls"), |state| state.calls.len() >= count);
    }

    /// Waits until `count` calls are waiting for their answer; fails the test when it takes longer than `PATIENCE`.
    pub fn wait_in_flight(&self, count: usize) {
        self.wait(&format!("{count} calls in flight"), |state| state.in_flight >= count);
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock();
        while !done(&state) {
            let late = self.shared.changed.wait_until(&mut state, deadline).timed_out();
            assert!(!late || done(&state), "waited in vain for {what}; calls: {:#?}", state.calls);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.release();
    }
}
