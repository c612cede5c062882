//! Log lines, as text in the manner of logrus or as one JSON object.
//!
//! Each request has one, so they are written by hand where a formatter would cost as much as the answer itself.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use crate::logic::base::decimal::push_decimal;
use crate::logic::base::time::Wall;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A value beside a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    Text(&'a str),
    Address(IpAddr),
    Number(f64),
    Whole(i64),
    /// In milliseconds, to the microsecond
    Span(Duration),
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub enum MessageText<'a> {
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
pub struct LineParts<'a, K> {
    pub at: Wall,
    pub level: &'a str,
    pub message: MessageText<'a>,
    /// By key
    pub fields: &'a [(K, FieldValue<'a>)],
}

impl<K: AsRef<str>> LineParts<'_, K> {
    /// Renders the line with its closing newline. Quotes and controls are escaped; a field whose text is empty says
    /// nothing and is left out.
    pub fn render(self, format: LogFormat) -> Vec<u8> {
        debug_assert!(self.fields.is_sorted_by(|one, other| one.0.as_ref() <= other.0.as_ref()), "fields in disorder");
        let mut pen = LineWriter { line: Vec::with_capacity(USUAL_LINE), format };
        match format {
            LogFormat::Text => self.text(&mut pen),
            LogFormat::Json => self.json(&mut pen),
        }
        pen.push("\n");
        pen.line
    }

    fn said(&self) -> impl Iterator<Item = &(K, FieldValue<'_>)> {
        self.fields.iter().filter(|(_, value)| !matches!(value, FieldValue::Text("")))
    }

    fn text(&self, pen: &mut LineWriter) {
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

    fn json(&self, pen: &mut LineWriter) {
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
struct LineWriter {
    line: Vec<u8>,
    format: LogFormat,
}

impl LineWriter {
    /// As it stands.
    fn push(&mut self, text: &str) {
        self.line.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, message: MessageText<'_>) {
        match message {
            MessageText::Formatted(arguments) => {
                let _ = self.write_fmt(arguments); // what is formatted may fail, the pen can't
            }
            MessageText::Answered { method, target, status, took } => {
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

    fn value(&mut self, value: FieldValue<'_>) {
        match value {
            // logrus leaves these bare and quotes everything else.
            FieldValue::Text(text)
                if self.format == LogFormat::Text && !text.is_empty() && look(text) == Look::Bare =>
            {
                self.push(text);
            }
            FieldValue::Text(text) => self.quote(text),
            FieldValue::Address(address) => self.address(address),
            FieldValue::Number(number) if self.format == LogFormat::Json && !number.is_finite() => self.push("null"),
            FieldValue::Number(number) => self.shown(&number),
            FieldValue::Whole(number) => match u64::try_from(number) {
                Ok(number) => push_decimal(&mut self.line, number),
                Err(_) => self.shown(&number),
            },
            FieldValue::Span(span) => push_millis(&mut self.line, span),
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
            LogFormat::Json => crate::logic::base::json::text(text),
        };
        let escaped = &quoted[1..quoted.len() - 1];
        match self.format {
            LogFormat::Text => self.push(escaped),
            LogFormat::Json => self.push_visible(escaped),
        }
    }

    /// JSON leaves many letters as they are that a text line escapes: breaks of lines (U+0085, U+2028, U+2029), those
    /// that turn the direction of writing, other invisible ones. What reads the log after its JSON was read, and shows
    /// it, is to see none of them.
    fn push_visible(&mut self, json: &str) {
        for letter in json.chars() {
            let invisible = letter == '\u{7f}' || !letter.is_ascii() && letter.escape_debug().len() > 1;
            if invisible {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    self.push(&format!("\\u{unit:04x}"));
                }
            } else {
                self.push(letter.encode_utf8(&mut [0; 4]));
            }
        }
    }
}

/// What is formatted stands between quotes.
impl Write for LineWriter {
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
mod tests;
