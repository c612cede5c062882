//! The counter before moto: passes calls on as they are, notes who signed, and can cut one session short.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::moto::Moto;
use crate::standins::client::Ask;
use crate::standins::exchange::{Exchange, Reply, wall_now};
use crate::standins::wire::Wire;

/// One site's STS, listening until dropped.
pub struct Counter {
    wire: Wire,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// The next session that is granted ends after this.
    cut_short: Option<Duration>,
    /// The key that signed the last `GetCallerIdentity`.
    last_caller: String,
    hires: Vec<Hire>,
}

/// An `AssumeRole` that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hire {
    pub role_arn: String,
    /// The key that signed it.
    pub by: String,
    /// The key that came of it.
    pub key: String,
}

impl Counter {
    /// `first_life`: how long the first session lasts, if not as long as was asked for.
    pub fn open(moto: &Moto, first_life: Option<Duration>) -> Self {
        let notes = Arc::new(Mutex::new(Notes { cut_short: first_life, ..Notes::default() }));
        let (noting, moto) = (notes.clone(), moto.address());
        let wire = Wire::start("counter", move |mut exchange| {
            let body = exchange.body();
            if body.contains("Action=GetCallerIdentity") {
                noting.lock().last_caller = key_id(&exchange);
            }
            let answer = ask(&exchange, &body).send(moto, "127.0.0.1");
            let mut text = answer.text();
            noting.lock().hires.extend(hire(&exchange, &body, &text));
            if let Some(life) = text.contains("<AssumeRoleResult>").then(|| noting.lock().cut_short.take()).flatten() {
                text = end_after(&text, life);
            }
            exchange.answer(Reply::new(answer.status, "text/xml", text));
        });
        Self { wire, notes }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }

    /// Who assumed what with which key, in that order.
    pub fn hires(&self) -> Vec<Hire> {
        self.notes.lock().hires.clone()
    }

    pub fn last_caller(&self) -> String {
        self.notes.lock().last_caller.clone()
    }
}

/// The same request, with the headers that were signed.
fn ask(exchange: &Exchange, body: &str) -> Ask {
    let own = ["content-length", "connection", "host", "transfer-encoding"];
    let headers = exchange.headers().into_iter().filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
    let host = exchange.header("Host").unwrap_or_default();
    let bare = Ask::new(&exchange.method(), exchange.target()).host(&host);
    headers.fold(bare, |ask, (name, value)| ask.header(&name, &value)).body(body.as_bytes())
}

fn hire(exchange: &Exchange, body: &str, answer: &str) -> Option<Hire> {
    let mut form = form_urlencoded::parse(body.as_bytes());
    let role_arn = form.find_map(|(name, value)| (name == "RoleArn").then(|| value.into_owned()))?;
    let (_, key) = answer.split_once("<AccessKeyId>")?;
    let (key, _) = key.split_once("</AccessKeyId>")?;
    Some(Hire { role_arn, by: key_id(exchange), key: key.to_owned() })
}

fn key_id(exchange: &Exchange) -> String {
    let authorization = exchange.header("Authorization").unwrap_or_default();
    let (_, credential) = authorization.split_once("Credential=").unwrap_or_default();
    credential.split('/').next().unwrap_or_default().to_owned()
}

fn end_after(answer: &str, life: Duration) -> String {
    let (before, rest) = answer.split_once("<Expiration>").expect("a session has an end");
    let (_, after) = rest.split_once("</Expiration>").expect("a whole element");
    format!("{before}<Expiration>{}</Expiration>{after}", wall_now().after(life).rfc3339())
}
