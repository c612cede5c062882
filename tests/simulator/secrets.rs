//! No secret stands in a line of the log: every line of every run is looked at.

use std::fmt::Write;
use std::sync::Once;

use kube2iam::for_tests::{LineParts, LogFormat, Taken};
use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

use crate::stage;

/// Every secret of a run begins with it.
pub const CANARY: &str = "cAnArY";

/// How every ServiceAccount token begins.
const TOKEN: &str = "eyJhbGci";

struct Listener;

/// Hears every line from now on.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(Listener)).unwrap();
        log::set_max_level(LevelFilter::Debug);
    });
}

/// Hears a request's line, which doesn't pass through `log`.
pub fn hear(line: LineParts<'_, &str>) -> Taken {
    judge(&String::from_utf8_lossy(&line.render(LogFormat::Text)));
    Taken::Yes
}

fn judge(line: &str) {
    if let Some(stage) = stage::current().filter(|_| line.contains(CANARY) || line.contains(TOKEN)) {
        stage.blame("no secret is logged", line);
    }
}

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let Some(stage) = stage::current() else { return };
        let mut line = Told(format!("{} {}", record.level(), record.args()));
        record.key_values().visit(&mut line).unwrap();
        judge(&line.0);
        if record.level() <= log::Level::Warn {
            stage.note(&line.0);
        }
    }

    fn flush(&self) {}
}

struct Told(String);

impl<'kvs> VisitSource<'kvs> for Told {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        write!(self.0, " {key}={value}").map_err(Error::from)
    }
}
