//! Log lines, as text in the manner of logrus or as one JSON object.
//!
//! Each request has one, so they are written by hand where a formatter would cost as much as the answer itself.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::decimal::push_decimal;
use super::time::Wall;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A value beside a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    Text(&'a str),
    Address(IpAddr),
    Number(f64),
    Whole(i64),
    /// In milliseconds, to the microsecond
    Span(Duration),
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    Formatted(fmt::Arguments<'a>),
    /// `METHOD TARGET (STATUS) took MILLISECONDS ms`
    Answered {
        method: &'a str,
        target: &'a str,
        status: u16,
        took: Duration,
    },
}

/// Whether a line will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// The log is full.
    No,
}

/// A line to be: everything in it is still where it came from.
#[derive(Clone, Copy)]
pub struct Line<'a, K> {
    pub at: Wall,
    pub level: &'a str,
    pub message: Message<'a>,
    /// By key
    pub fields: &'a [(K, Field<'a>)],
}

impl<K: AsRef<str>> Line<'_, K> {
    /// Renders the line with its closing newline. Quotes and controls are escaped; a field whose text is empty says
    /// nothing and is left out.
    pub fn render(self, format: LogFormat) -> Vec<u8> {
        debug_assert!(self.fields.is_sorted_by(|one, other| one.0.as_ref() <= other.0.as_ref()), "fields in disorder");
        let mut pen = Pen { line: Vec::with_capacity(USUAL_LINE), format };
        match format {
            LogFormat::Text => self.text(&mut pen),
            LogFormat::Json => self.json(&mut pen),
        }
        pen.push("\n");
        pen.line
    }

    fn said(&self) -> impl Iterator<Item = &(K, Field<'_>)> {
        self.fields.iter().filter(|(_, value)| !matches!(value, Field::Text("")))
    }

    fn text(&self, pen: &mut Pen) {
        pen.push("time=\"");
        pen.line.extend_from_slice(&self.at.rfc3339_bytes());
        pen.push("\" level=");
        pen.push(self.level);
        pen.push(" msg=\"");
        pen.message(self.message);
        pen.push("\"");
        for (key, value) in self.said() {
            pen.push(" ");
            pen.push(key.as_ref());
            pen.push("=");
            pen.value(*value);
        }
    }

    fn json(&self, pen: &mut Pen) {
        pen.push("{\"level\":\"");
        pen.push(self.level);
        pen.push("\",\"msg\":\"");
        pen.message(self.message);
        pen.push("\"");
        for (key, value) in self.said() {
            pen.push(",");
            pen.quote(key.as_ref());
            pen.push(":");
            pen.value(*value);
        }
        pen.push(",\"time\":\"");
        pen.line.extend_from_slice(&self.at.rfc3339_bytes());
        pen.push("\"}");
    }
}

/// Writes a line.
struct Pen {
    line: Vec<u8>,
    format: LogFormat,
}

impl Pen {
    /// As it stands.
    fn push(&mut self, text: &str) {
        self.line.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, message: Message<'_>) {
        match message {
            Message::Formatted(arguments) => {
                let _ = self.write_fmt(arguments); // what is formatted may fail, the pen can't
            }
            Message::Answered { method, target, status, took } => {
                self.push(method);
                self.push(" ");
                self.escape(target);
                self.push(" (");
                push_decimal(&mut self.line, status.into());
                self.push(") took ");
                push_millis(&mut self.line, took);
                self.push(" ms");
            }
        }
    }

    fn value(&mut self, value: Field<'_>) {
        match value {
            // logrus leaves these bare and quotes everything else.
            Field::Text(text) if self.format == LogFormat::Text && !text.is_empty() && look(text) == Look::Bare => {
                self.push(text);
            }
            Field::Text(text) => self.quote(text),
            Field::Address(address) => self.address(address),
            Field::Number(number) if self.format == LogFormat::Json && !number.is_finite() => self.push("null"),
            Field::Number(number) => self.shown(&number),
            Field::Whole(number) => match u64::try_from(number) {
                Ok(number) => push_decimal(&mut self.line, number),
                Err(_) => self.shown(&number),
            },
            Field::Span(span) => push_millis(&mut self.line, span),
        }
    }

    /// A v4 address is bare in text; the colons of the others are not.
    fn address(&mut self, address: IpAddr) {
        let bare = self.format == LogFormat::Text && address.is_ipv4();
        if !bare {
            self.push("\"");
        }
        match address {
            IpAddr::V4(address) => {
                for (place, octet) in address.octets().into_iter().enumerate() {
                    if place > 0 {
                        self.push(".");
                    }
                    push_decimal(&mut self.line, octet.into());
                }
            }
            IpAddr::V6(address) => self.shown(&address),
        }
        if !bare {
            self.push("\"");
        }
    }

    /// What needs no escape.
    fn shown(&mut self, value: &dyn fmt::Display) {
        let _ = write!(self, "{value}"); // the pen can't fail
    }

    fn quote(&mut self, text: &str) {
        self.push("\"");
        self.escape(text);
        self.push("\"");
    }

    /// As it may stand between quotes.
    fn escape(&mut self, text: &str) {
        if look(text) != Look::Strange {
            return self.push(text);
        }
        let quoted = match self.format {
            LogFormat::Text => format!("{text:?}"),
            LogFormat::Json => serde_json::Value::from(text).to_string(),
        };
        self.push(&quoted[1..quoted.len() - 1]);
    }
}

/// What is formatted stands between quotes.
impl Write for Pen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.escape(text);
        Ok(())
    }
}

/// How much care a text takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// Letters, digits and `-._/@^+`
    Bare,
    /// Nothing that needs an escape in any form
    Plain,
    Strange,
}

fn look(text: &str) -> Look {
    match text.bytes().fold(0, |worst, byte| worst | LOOKS[usize::from(byte)]) {
        0 => Look::Bare,
        1 => Look::Plain,
        _ => Look::Strange,
    }
}

/// By byte: 0 is bare, 1 plain, 2 strange.
const LOOKS: [u8; 256] = {
    let mut looks = [2; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        let bare = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+');
        looks[byte as usize] = if matches!(byte, b'"' | b'\\') { 2 } else { !bare as u8 };
        byte += 1;
    }
    looks
};

/// A span in milliseconds, to the microsecond, without needless zeros.
fn push_millis(line: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    push_decimal(line, micros / 1_000);
    let mut rest = micros % 1_000;
    if rest > 0 {
        line.push(b'.');
    }
    while rest > 0 {
        push_decimal(line, rest / 100);
        rest = rest % 100 * 10;
    }
}

/// Bytes of a request's line; others may be longer.
const USUAL_LINE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: LogFormat) -> String {
        let fields = [
            ("empty", Field::Text("")),
            ("req.method", Field::Text("GET")),
            ("req.path", Field::Text("/a b\n\"")),
            ("req.remote", Field::Address("10.0.0.255".parse().unwrap())),
            ("res.duration", Field::Span(Duration::from_micros(250))),
            ("res.status", Field::Whole(200)),
        ];
        let at = Wall::from_unix_seconds(1_795_412_524);
        let message = Message::Formatted(format_args!("GET {} `é\"", "/a\\"));
        String::from_utf8(Line { at, level: "info", message, fields: &fields }.render(format)).unwrap()
    }

    #[test]
    fn text_lines_look_like_logrus() {
        assert_eq!(
            check(LogFormat::Text),
            "time=\"2026-11-23T05:42:04Z\" level=info msg=\"GET /a\\\\ `é\\\"\" req.method=GET req.path=\"/a b\\n\\\"\" req.remote=10.0.0.255 res.duration=0.25 res.status=200\n"
        );
    }

    fn value(format: LogFormat, value: Field<'_>) -> String {
        let mut pen = Pen { line: Vec::new(), format };
        pen.value(value);
        String::from_utf8(pen.line).unwrap()
    }

    #[test]
    fn values_are_written_as_each_format_takes_them() {
        let span = |micros| Field::Span(Duration::from_micros(micros));
        for (field, text, json) in [
            (Field::Text("a-b.c_d/e@f^g+h9"), "a-b.c_d/e@f^g+h9", "\"a-b.c_d/e@f^g+h9\""),
            (Field::Text("a b"), "\"a b\"", "\"a b\""),
            (Field::Text("ü\u{7f}"), "\"ü\\u{7f}\"", "\"ü\u{7f}\""),
            (Field::Address("10.0.0.1".parse().unwrap()), "10.0.0.1", "\"10.0.0.1\""),
            (Field::Address("fd00::1".parse().unwrap()), "\"fd00::1\"", "\"fd00::1\""),
            (Field::Whole(i64::MIN), "-9223372036854775808", "-9223372036854775808"),
            (Field::Whole(429), "429", "429"),
            (Field::Number(0.25), "0.25", "0.25"),
            (Field::Number(f64::NAN), "NaN", "null"),
            (span(0), "0", "0"),
            (span(7), "0.007", "0.007"),
            (span(1_500), "1.5", "1.5"),
            (span(2_000_000), "2000", "2000"),
        ] {
            let written = [LogFormat::Text, LogFormat::Json].map(|format| value(format, field));
            assert_eq!(written, [text, json], "{field:?}");
        }
        for micros in 0..20_000_u32 {
            let millis = value(LogFormat::Text, span(micros.into()));
            assert_eq!(millis, (f64::from(micros) / 1e3).to_string());
        }
    }

    #[test]
    fn a_requests_message_is_what_formatting_would_make_of_it() {
        for target in ["/latest/", "/a b?\"\\\n", "/ü"] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let written = |message| {
                    let mut pen = Pen { line: Vec::new(), format };
                    pen.message(message);
                    String::from_utf8(pen.line).unwrap()
                };
                let took = Duration::from_micros(1_250);
                let answered = written(Message::Answered { method: "GET", target, status: 404, took });
                assert_eq!(answered, written(Message::Formatted(format_args!("GET {target} (404) took 1.25 ms"))));
            }
        }
    }

    #[test]
    fn texts_are_as_strange_as_their_strangest_byte() {
        for byte in 0..=u8::MAX {
            let text = char::from(byte).to_string();
            let bare = byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
            let strange = !byte.is_ascii() || format!("{text:?}") != format!("\"{text}\"");
            assert_eq!((look(&text) == Look::Bare, look(&text) == Look::Strange), (bare, strange), "{text:?}");
            assert_eq!(look(&format!("a{text}a")), look(&text));
        }
    }

    #[test]
    fn json_lines_are_one_object() {
        let line = check(LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["msg"], &object["req.path"]), (&"GET /a\\ `é\"".into(), &"/a b\n\"".into()));
        assert_eq!((&object["res.duration"], object.get("empty")), (&0.25.into(), None));
        assert_eq!(object["time"], "2026-11-23T05:42:04Z");
    }
}
