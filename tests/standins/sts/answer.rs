//! From a call to its answer. Checks and error codes are those of the STS API reference
//! (`AssumeRole`, `AssumeRoleWithWebIdentity`, `GetCallerIdentity`, "Common Errors").

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::exchange::{Exchange, Framing, Reply, wall_now};
use super::{Call, Gate, Grant, Shared, State, StsFault};

pub fn answer(shared: &Shared, mut exchange: Exchange) {
    let form: BTreeMap<String, String> = form_urlencoded::parse(exchange.body().as_bytes()).into_owned().collect();
    let call = Call {
        action: form.get("Action").cloned().unwrap_or_default(),
        form,
        authorization: exchange.header("Authorization"),
        security_token: exchange.header("X-Amz-Security-Token"),
        host: exchange.header("Host"),
        granted: None,
    };
    let ticket = Ticket::take(shared, call.clone());
    let fault = ticket.wait_at_gate();
    match fault {
        Some(StsFault::Hang) => exchange.hang(),
        Some(StsFault::Close) => exchange.close(),
        Some(StsFault::Garbage) => exchange.answer(xml(200, "<AssumeRoleResponse><<<>".to_owned())),
        Some(StsFault::Refuse { status, code, message }) => exchange.answer(error(status, code, message)),
        Some(StsFault::HalfBody) => exchange.answer(ticket.decide(&call).framed(Framing::HalfBody)),
        Some(StsFault::Slow(delay)) => {
            ticket.dawdle(delay);
            exchange.answer(ticket.decide(&call));
        }
        None => exchange.answer(ticket.decide(&call)),
    }
}

/// A call in flight: counted from its arrival to its answer.
struct Ticket<'a> {
    shared: &'a Shared,
    index: usize,
}

impl<'a> Ticket<'a> {
    fn take(shared: &'a Shared, call: Call) -> Self {
        let mut state = shared.state.lock();
        state.in_flight += 1;
        state.max_in_flight = state.max_in_flight.max(state.in_flight);
        state.calls.push(call);
        let index = state.calls.len() - 1;
        drop(state);
        shared.changed.notify_all();
        Self { shared, index }
    }

    /// Waits while calls are held back, then takes the fault that is meant for this call.
    fn wait_at_gate(&self) -> Option<StsFault> {
        let mut state = self.shared.state.lock();
        while state.gate == Gate::Held {
            self.shared.changed.wait(&mut state);
        }
        let role = state.calls[self.index].field("RoleArn").to_owned();
        let index = state.faults.iter().position(|(meant, ..)| meant.as_ref().is_none_or(|meant| *meant == role))?;
        let (_, fault, times) = &mut state.faults[index];
        let fault = fault.clone();
        if times.spend() {
            state.faults.remove(index);
        }
        Some(fault)
    }

    fn dawdle(&self, delay: Duration) {
        std::thread::sleep(delay);
        self.shared.changed.notify_all();
    }

    fn decide(&self, call: &Call) -> Reply {
        let mut state = self.shared.state.lock();
        if let Some(fault) = state.provider.as_ref().and_then(|provider| provider.fault(call)) {
            return fault;
        }
        match call.action.as_str() {
            "GetCallerIdentity" => signed(call).unwrap_or_else(|| caller_identity(&state)),
            "AssumeRole" => signed(call).or_else(|| fields(call)).unwrap_or_else(|| assume(&mut state, self.index)),
            "AssumeRoleWithWebIdentity" => web_identity(call).unwrap_or_else(|| assume(&mut state, self.index)),
            "" => error(400, "MissingAction", "The request is missing an action or a required parameter."),
            other => error(400, "InvalidAction", &format!("Could not find operation {other} for version {VERSION}")),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().in_flight -= 1;
        self.shared.changed.notify_all();
    }
}

/// What is wrong with the call as a signed one.
fn signed(call: &Call) -> Option<Reply> {
    let authorization = call.authorization.as_deref().unwrap_or_default();
    if authorization.starts_with("AWS4-HMAC-SHA256 Credential=") && authorization.contains("/sts/aws4_request") {
        return None;
    }
    Some(error(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
}

/// What is wrong with the fields that both ways to assume a role have.
fn fields(call: &Call) -> Option<Reply> {
    let invalid = |message: String| Some(error(400, "ValidationError", &message));
    if call.field("Version") != VERSION {
        return Some(error(400, "InvalidAction", &format!("unknown version {}", call.field("Version"))));
    }
    if !call.field("RoleArn").starts_with("arn:") || !call.field("RoleArn").contains(":role/") {
        return invalid(format!("{} is invalid", call.field("RoleArn")));
    }
    let name = call.field("RoleSessionName");
    if !(2..=64).contains(&name.len()) || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
        return invalid(format!("Value '{name}' at 'roleSessionName' failed to satisfy constraint"));
    }
    match call.form.get("DurationSeconds").map(|text| text.parse::<u64>()) {
        None | Some(Ok(900..=43_200)) => None,
        _ => invalid("Value at 'durationSeconds' failed to satisfy constraint".to_owned()),
    }
}

fn web_identity(call: &Call) -> Option<Reply> {
    if call.field("WebIdentityToken").is_empty() {
        return Some(error(400, "ValidationError", "Value null at 'webIdentityToken' failed to satisfy constraint"));
    }
    fields(call)
}

fn assume(state: &mut State, index: usize) -> Reply {
    let call = &state.calls[index];
    let asked = call.field("DurationSeconds").parse().map_or(DEFAULT_DURATION, Duration::from_secs);
    let serial = index + 1;
    let grant = Grant {
        access_key_id: format!("ASIASTANDIN{serial:09}"),
        secret_access_key: format!("{}+SECRET/{serial:06}", state.canary),
        session_token: format!("{}/TOKEN+{serial:06}==", state.canary),
        expiration: wall_now().after(state.lifetime.unwrap_or(asked)).rfc3339(),
    };
    let role = call.field("RoleArn").to_owned();
    let (action, session) = (call.action.clone(), call.field("RoleSessionName").to_owned());
    let assumed = role.replacen(":iam:", ":sts:", 1).replacen(":role/", ":assumed-role/", 1);
    state.calls[index].granted = Some(grant.clone());
    let Grant { access_key_id, secret_access_key, session_token, expiration } = grant;
    wrap(
        &action,
        &format!(
            "<AssumedRoleUser><AssumedRoleId>AROASTANDIN:{session}</AssumedRoleId><Arn>{assumed}/{session}</Arn>\
             </AssumedRoleUser><Credentials><AccessKeyId>{access_key_id}</AccessKeyId>\
             <SecretAccessKey>{secret_access_key}</SecretAccessKey><SessionToken>{session_token}</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials><PackedPolicySize>6</PackedPolicySize>"
        ),
    )
}

fn caller_identity(state: &State) -> Reply {
    let arn = &state.caller_arn;
    let account = arn.split(':').nth(4).unwrap_or_default();
    wrap("GetCallerIdentity", &format!("<Arn>{arn}</Arn><UserId>AROANODE:i-1</UserId><Account>{account}</Account>"))
}

fn wrap(action: &str, result: &str) -> Reply {
    xml(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  \
             <{action}Result>{result}</{action}Result>\n  \
             <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>\n</{action}Response>\n"
        ),
    )
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  <Error>\n    <Type>{kind}</Type>\n    \
             <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
             <RequestId>{REQUEST_ID}</RequestId>\n</ErrorResponse>\n"
        ),
    )
}

fn xml(status: u16, body: String) -> Reply {
    Reply::new(status, "text/xml", body).with("x-amzn-RequestId", REQUEST_ID)
}

const VERSION: &str = "2011-06-15";
const REQUEST_ID: &str = "3f2b7a50-8c1e-4a7e-9d25-6f0e0c5ad001";
/// What STS grants when nobody asks for a length.
const DEFAULT_DURATION: Duration = Duration::from_secs(3600);
