//! From a request to its answer: who is let in, what is refused on command, lists; watches go to `watch`.
//! The order of keys in lists is the server's own (`metadata` before `items`), since a streaming reader depends on it.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::exchange::{Exchange, Framing, Reply};
use super::model::{Expired, Page, Selector};
use super::objects::{Kind, status_json};
use super::{IssuerDocument, On, Refusal, Seen, Shared, events, issuer, node, watch, writes};

/// A list or a watch, as it was asked for.
pub struct Query {
    pub kind: Kind,
    pub selector: Selector,
    parameters: HashMap<String, String>,
}

impl Query {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn says(&self, name: &str) -> bool {
        matches!(self.parameter(name), Some("1" | "true"))
    }

    fn on(&self) -> On {
        if self.says("watch") { On::Watch(self.kind) } else { On::List(self.kind) }
    }
}

pub fn answer(shared: &Shared, exchange: Exchange) {
    let node = node::Asked::of(&exchange);
    let event = events::target(&exchange);
    let query = parse(exchange.target());
    let write = if event.is_none() { writes::Write::of(&exchange) } else { None };
    let on = node.as_ref().map(node::Asked::on).or(event.as_ref().map(|_| On::Event));
    let document = IssuerDocument::of(&exchange);
    let on = on.or(document.map(On::Issuer));
    let on = on.or(write.as_ref().map(writes::Write::on));
    let on = on.or(query.as_ref().ok().map(Query::on));
    let (refusal, allowed) = note(shared, &exchange, on);
    if !allowed {
        return exchange.answer(status(401, "Unauthorized", "Unauthorized"));
    }
    if let Some(refusal) = refusal {
        return refuse(exchange, refusal);
    }
    if let Some(document) = document {
        return issuer::answer(shared, exchange, document);
    }
    if let Some(asked) = node {
        return node::answer(shared, exchange, &asked);
    }
    if let Some((namespace, name)) = event {
        return events::write(shared, exchange, &namespace, name.as_deref());
    }
    if let Some(write) = write {
        return writes::answer(shared, exchange, &write);
    }
    match query {
        Err(reply) => exchange.answer(*reply),
        Ok(query) if query.says("watch") => watch::serve(shared, exchange, &query),
        Ok(query) => exchange.answer(list(shared, &query)),
    }
}

/// Notes the request, and tells whether it is to be refused and whether its token is good.
fn note(shared: &Shared, exchange: &Exchange, on: Option<On>) -> (Option<Refusal>, bool) {
    let authorization = exchange.header("Authorization");
    let mut state = shared.state.lock();
    let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
    let allowed = wanted.is_none() || wanted == authorization;
    state.seen.push(Seen { on, target: exchange.target().to_owned(), authorization });
    let refusal = if allowed { state.refusal(on) } else { None };
    drop(state);
    shared.changed.notify_all();
    (refusal, allowed)
}

fn refuse(exchange: Exchange, refusal: Refusal) {
    match refusal {
        Refusal::Close => exchange.close(),
        Refusal::Stall => exchange.hang(),
        Refusal::Gone => exchange.answer(status(410, "Expired", "too old resource version: 1 (2)")),
        Refusal::Garbage => exchange.answer(reply(200, "<html>no JSON at all</html>")),
        Refusal::HalfBody => {
            let body = list_body(Kind::Pod, &Page { version: 1, items: Vec::new(), continuation: None, remaining: 0 });
            exchange.answer(reply(200, body).framed(Framing::HalfBody));
        }
        Refusal::Status { code, retry_after_s } => {
            let refused = status(code, reason(code), &format!("refused on command with {code}"));
            exchange.answer(match retry_after_s {
                Some(seconds) => refused.with("Retry-After", seconds.to_string()),
                None => refused,
            });
        }
    }
}

fn parse(target: &str) -> Result<Query, Box<Reply>> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let unknown = || Box::new(status(404, "NotFound", "the server could not find the requested resource"));
    let rest = path.strip_prefix("/api/v1/").ok_or_else(unknown)?;
    let (namespace, plural) = match rest.strip_prefix("namespaces/").and_then(|rest| rest.split_once('/')) {
        Some((namespace, plural)) => (Some(namespace), plural),
        None => (None, rest),
    };
    let kind = Kind::from_plural(plural).ok_or_else(unknown)?;
    let mut fields = parameters.remove("fieldSelector").unwrap_or_default();
    if let Some(namespace) = namespace {
        fields.push_str(&format!(",metadata.namespace={namespace}"));
    }
    let selector = Selector::parse(&fields)
        .map_err(|field| Box::new(status(400, "BadRequest", &format!("field label not supported: {field}"))))?;
    Ok(Query { kind, selector, parameters })
}

fn list(shared: &Shared, query: &Query) -> Reply {
    let asked = query.parameter("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let mut state = shared.state.lock();
    let limit = asked.unwrap_or(usize::MAX).min(state.page_cap.unwrap_or(usize::MAX));
    let page = match query.parameter("continue") {
        Some(token) => state.model.list_on(token, limit),
        None => Ok(state.model.list(query.kind, &query.selector, limit)),
    };
    match page {
        Ok(page) => {
            let body = list_body(query.kind, &page);
            let framing = if body.len() > CHUNKED_FROM { Framing::Chunked } else { Framing::Length };
            reply(200, body).framed(framing)
        }
        Err(Expired) => status(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter.",
        ),
    }
}

fn list_body(kind: Kind, page: &Page) -> String {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(token) = &page.continuation {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(page.remaining);
    }
    let items: Vec<String> = page.items.iter().map(Value::to_string).collect();
    let kind = kind.name();
    format!(
        "{{\"kind\":\"{kind}List\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\"items\":[{}]}}\n",
        items.join(",")
    )
}

pub fn status(code: u16, reason: &str, message: &str) -> Reply {
    reply(code, status_json(code, reason, message).to_string())
}

pub fn reply(code: u16, body: impl Into<Vec<u8>>) -> Reply {
    headers()
        .into_iter()
        .fold(Reply::new(code, "application/json", body), |reply, (name, value)| reply.with(name, value))
}

/// What a real answer carries besides its content type.
pub fn headers() -> [(&'static str, String); 2] {
    [("Audit-Id", "9e2f68f5-f676-4344-b831-f10016cab2ee".to_owned()), ("Cache-Control", "no-cache, private".to_owned())]
}

fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

/// The API server sends short answers with their length, longer ones in chunks.
const CHUNKED_FROM: usize = 2048;
