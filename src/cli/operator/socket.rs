//! Queries of the running agent over its control socket, with limits on time, head and body.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use form_urlencoded::byte_serialize;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Failure;
use crate::config::Words;
use crate::logic::base::json::{self, PrintedForm};
use crate::logic::base::time::Mono;
use crate::os::clock::SystemClock;
use crate::ports::Clock;

/// A request: a method, a path, and its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketRequest<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) parameters: &'a [(&'static str, &'a str)],
}

/// The path of the socket: `--socket`, else the agent's default.
pub(super) fn path(words: &Words) -> &Path {
    Path::new(words.value("socket").unwrap_or(CONTROL_SOCKET))
}

/// Sends a request to the agent that listens at `path`, and returns its JSON.
pub(super) fn ask(path: &Path, question: &SocketRequest<'_>) -> Result<Value, Failure> {
    let answer = exchange(path, &question.bytes()).map_err(|cause| unopened(path, &cause))?;
    let (status, body) = parse(&answer).map_err(|cause| unreached(path, &cause))?;
    let json: Value = json::read(body).map_err(|cause| unreached(path, &cause))?;
    match (status, json.get("error").and_then(Value::as_str)) {
        (200, _) => Ok(json),
        (400, Some(error)) => Err(Failure::Usage(format!("failed to ask the agent: {error}"))),
        (_, error) => Err(Failure::Unanswered(format!("the agent responded: {}", error.unwrap_or("nothing")))),
    }
}

/// The parameter for the response's form: JSON, or text that the agent renders.
pub(super) const fn parameter(form: PrintedForm) -> (&'static str, &'static str) {
    let word = match form {
        PrintedForm::Text => "text",
        PrintedForm::Json => "json",
    };
    ("form", word)
}

/// The printable part of a response of that form.
pub(super) fn shown(answer: &Value, form: PrintedForm) -> Result<String, Failure> {
    if form == PrintedForm::Json {
        return Ok(json::text(answer));
    }
    let text = answer.get("text").and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| Failure::Unanswered("failed to read the agent's answer: it has no `text`".to_owned()))
}

impl SocketRequest<'_> {
    /// HTTP/1.0: the response ends with the connection and is never chunked.
    fn bytes(&self) -> Vec<u8> {
        let mut line = format!("{} {}", self.method, self.path);
        for (nth, (name, value)) in self.parameters.iter().enumerate() {
            line.extend([if nth == 0 { "?" } else { "&" }, name, "="]);
            line.extend(byte_serialize(value.as_bytes()));
        }
        line.push_str(" HTTP/1.0\r\n\r\n");
        line.into_bytes()
    }
}

fn exchange(path: &Path, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let clock = SystemClock::new();
    let deadline = clock.now().mono.after(PATIENCE);
    let mut socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // connect(2) on a Unix socket waits for room in the backlog, up to the write timeout
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.write_all(question)?;
    let mut answer = Vec::new();
    let mut part = [0; 8 * 1024];
    loop {
        socket.set_read_timeout(Some(left(&clock, deadline)?))?;
        match socket.read(&mut part) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Err(late()),
            Err(cause) => return Err(cause),
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(std::io::Error::other("its response is too long"));
        }
    }
}

fn left(clock: &SystemClock, deadline: Mono) -> std::io::Result<Duration> {
    let left = clock.now().mono.until(deadline);
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> std::io::Error {
    std::io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

fn parse(answer: &[u8]) -> Result<(u16, &[u8]), String> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    match head.parse(answer) {
        Ok(httparse::Status::Complete(end)) => Ok((head.code.unwrap_or(0), &answer[end..])),
        Ok(httparse::Status::Partial) => Err("its response is incomplete".to_owned()),
        Err(cause) => Err(format!("its response is not HTTP: {cause}")),
    }
}

fn unreached(path: &Path, cause: &dyn std::fmt::Display) -> Failure {
    failed(path, cause, "see the agent's log")
}

/// The socket could not be opened or the response timed out: the advice depends on the cause.
fn unopened(path: &Path, cause: &std::io::Error) -> Failure {
    let advice = match cause.kind() {
        ErrorKind::PermissionDenied => "only the agent's user and root may open it: run this as one of them".to_owned(),
        ErrorKind::NotFound => format!("is an agent running here with --control-socket={}?", path.display()),
        ErrorKind::ConnectionRefused => "its agent has exited: is another one starting?".to_owned(),
        _ => "see the agent's log".to_owned(),
    };
    failed(path, cause, &advice)
}

fn failed(path: &Path, cause: &dyn std::fmt::Display, advice: &str) -> Failure {
    let cause = cause.to_string().to_lowercase();
    Failure::Unanswered(format!("failed to ask the agent at `{}`: {cause}; {advice}", path.display()))
}

/// The default of the agent's `--control-socket`.
pub(super) const CONTROL_SOCKET: &str = "/run/kube2iam/control.sock";
/// Longer than the agent takes for any of these requests.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST_ANSWER: usize = 1024 * 1024;
const MOST_HEADERS: usize = 16;

#[cfg(test)]
mod tests;
