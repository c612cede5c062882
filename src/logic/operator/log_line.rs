//! Log lines, as text in the format of logrus or as a JSON object.
//!
//! Every request logs one, so they are rendered by hand: a formatter would take as long as the whole request.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use crate::logic::base::decimal::push_decimal;
use crate::logic::base::time::Wall;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    Text(&'a str),
    Address(IpAddr),
    Number(f64),
    Whole(i64),
    /// In milliseconds, with microsecond precision
    Span(Duration),
}

impl FieldValue<'_> {
    /// Whether the field is omitted.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(""))
    }
}

/// The message of a line.
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
    /// The log's queue is full.
    No,
}

/// The parts of a line, all borrowed.
#[derive(Clone, Copy)]
pub struct LineParts<'a, K> {
    pub at: Wall,
    pub level: &'a str,
    pub message: MessageText<'a>,
    /// Sorted by key
    pub fields: &'a [(K, FieldValue<'a>)],
}

impl<K: AsRef<str>> LineParts<'_, K> {
    /// Renders the line with its newline. Quotes and control characters are escaped; a field with an empty text is
    /// omitted.
    pub fn render(self, format: LogFormat) -> Vec<u8> {
        debug_assert!(self.fields.is_sorted_by(|one, other| one.0.as_ref() <= other.0.as_ref()), "fields in disorder");
        let mut writer = LineWriter { line: Vec::with_capacity(USUAL_LINE), format };
        match format {
            LogFormat::Text => self.text(&mut writer),
            LogFormat::Json => self.json(&mut writer),
        }
        writer.line.push(b'\n');
        writer.line
    }

    fn text(&self, writer: &mut LineWriter) {
        writer.push("time=\"");
        writer.line.extend_from_slice(&self.at.rfc3339_bytes());
        writer.push("\" level=");
        writer.push(self.level);
        writer.push(" msg=\"");
        writer.message(self.message);
        writer.line.push(b'"');
        for (key, value) in self.fields {
            if !value.is_empty() {
                writer.line.push(b' ');
                writer.push(key.as_ref());
                writer.line.push(b'=');
                writer.value(*value);
            }
        }
    }

    fn json(&self, writer: &mut LineWriter) {
        writer.push("{\"level\":\"");
        writer.push(self.level);
        writer.push("\",\"msg\":\"");
        writer.message(self.message);
        writer.line.push(b'"');
        for (key, value) in self.fields {
            if !value.is_empty() {
                writer.line.push(b',');
                writer.quote(key.as_ref());
                writer.line.push(b':');
                writer.value(*value);
            }
        }
        writer.push(",\"time\":\"");
        writer.line.extend_from_slice(&self.at.rfc3339_bytes());
        writer.push("\"}");
    }
}

/// Renders a line.
struct LineWriter {
    line: Vec<u8>,
    format: LogFormat,
}

impl LineWriter {
    /// Without escaping.
    fn push(&mut self, text: &str) {
        self.line.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, message: MessageText<'_>) {
        match message {
            MessageText::Formatted(arguments) => {
                let _ = self.write_fmt(arguments); // a formatted value may fail, the writer can't
            }
            MessageText::Answered { method, target, status, took } => {
                self.push(method);
                self.line.push(b' ');
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
            // logrus writes these without quotes, and quotes everything else.
            FieldValue::Text(text)
                if self.format == LogFormat::Text && !text.is_empty() && escaping_of(text) == Escaping::Bare =>
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

    /// In text, IPv4 addresses need no quotes; the colons of IPv6 addresses do.
    fn address(&mut self, address: IpAddr) {
        let bare = self.format == LogFormat::Text && address.is_ipv4();
        if !bare {
            self.line.push(b'"');
        }
        match address {
            IpAddr::V4(address) => {
                for (place, octet) in address.octets().iter().enumerate() {
                    if place > 0 {
                        self.line.push(b'.');
                    }
                    push_decimal(&mut self.line, (*octet).into());
                }
            }
            IpAddr::V6(address) => self.shown(&address),
        }
        if !bare {
            self.line.push(b'"');
        }
    }

    /// A value that needs no escaping.
    fn shown(&mut self, value: &dyn fmt::Display) {
        let _ = write!(self, "{value}"); // the writer can't fail
    }

    fn quote(&mut self, text: &str) {
        self.line.push(b'"');
        self.escape(text);
        self.line.push(b'"');
    }

    /// Escaped, without the quotes.
    fn escape(&mut self, text: &str) {
        if escaping_of(text) != Escaping::Strange {
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

    /// JSON strings may contain characters that a text line escapes: line breaks (U+0085, U+2028, U+2029),
    /// bidirectional controls, other invisible characters. They are escaped here too, for programs that parse the
    /// JSON and print the text.
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

/// Formatted text appears between quotes.
impl Write for LineWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.escape(text);
        Ok(())
    }
}

/// How much escaping a text needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Escaping {
    /// Letters, digits and `-._/@^+`: needs no quotes
    Bare,
    /// Needs quotes, but no escaping in any format
    Plain,
    Strange,
}

fn escaping_of(text: &str) -> Escaping {
    match text.bytes().fold(0, |worst, byte| worst | ESCAPING_BY_BYTE[usize::from(byte)]) {
        0 => Escaping::Bare,
        1 => Escaping::Plain,
        _ => Escaping::Strange,
    }
}

/// The class of each byte: 0 is bare, 1 plain, 2 strange.
const ESCAPING_BY_BYTE: [u8; 256] = {
    let mut classes = [2; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        let bare = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+');
        classes[byte as usize] = if matches!(byte, b'"' | b'\\') { 2 } else { !bare as u8 };
        byte += 1;
    }
    classes
};

/// A duration in milliseconds with microsecond precision, without trailing zeros.
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

/// The size of a request's line in bytes; others may be longer.
const USUAL_LINE: usize = 512;

#[cfg(test)]
mod tests;
