//! Log lines, as text in the manner of logrus or as one JSON object.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use super::decimal::decimal;
use super::time::Wall;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A value beside a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Whole(i64),
    /// A number that has been written already
    Written(&'a str),
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
    pub message: fmt::Arguments<'a>,
    /// By key
    pub fields: &'a [(K, Field<'a>)],
}

impl<K: AsRef<str>> Line<'_, K> {
    /// Renders the line with its closing newline. Quotes and controls are escaped; a field whose text is empty says
    /// nothing and is left out.
    pub fn render(self, format: LogFormat) -> String {
        debug_assert!(self.fields.is_sorted_by(|one, other| one.0.as_ref() <= other.0.as_ref()), "fields in disorder");
        let mut line = String::with_capacity(USUAL_LINE);
        let written = match format {
            LogFormat::Text => self.text(&mut line),
            LogFormat::Json => self.json(&mut line),
        };
        debug_assert!(written.is_ok(), "writing to a String can't fail");
        line.push('\n');
        line
    }

    fn said(&self) -> impl Iterator<Item = &(K, Field<'_>)> {
        self.fields.iter().filter(|(_, value)| !matches!(value, Field::Text(text) if text.is_empty()))
    }

    fn text(&self, line: &mut String) -> fmt::Result {
        line.push_str("time=\"");
        self.at.push_rfc3339(line);
        line.push_str("\" level=");
        line.push_str(self.level);
        line.push_str(" msg=\"");
        Escaped { line, escape: as_debug }.write_fmt(self.message)?;
        line.push('"');
        for (key, value) in self.said() {
            line.push(' ');
            line.push_str(key.as_ref());
            line.push('=');
            match value {
                Field::Text(text) if is_bare(text) => line.push_str(text),
                Field::Text(text) => quote(line, text, as_debug)?,
                Field::Number(number) => push_number(line, *number)?,
                Field::Written(number) => line.push_str(number),
                Field::Whole(number) => write!(line, "{number}")?,
            }
        }
        Ok(())
    }

    fn json(&self, line: &mut String) -> fmt::Result {
        line.push_str("{\"level\":\"");
        line.push_str(self.level);
        line.push_str("\",\"msg\":\"");
        Escaped { line, escape: as_json }.write_fmt(self.message)?;
        line.push('"');
        for (key, value) in self.said() {
            line.push(',');
            quote(line, key.as_ref(), as_json)?;
            line.push(':');
            match value {
                Field::Text(text) => quote(line, text, as_json)?,
                Field::Number(number) if number.is_finite() => push_number(line, *number)?,
                Field::Number(_) => line.push_str("null"),
                Field::Written(number) => line.push_str(number),
                Field::Whole(number) => write!(line, "{number}")?,
            }
        }
        line.push_str(",\"time\":\"");
        self.at.push_rfc3339(line);
        line.push_str("\"}");
        Ok(())
    }
}

/// Writes text as it stands between quotes.
struct Escaped<'a> {
    line: &'a mut String,
    /// A text in quotes of its own
    escape: fn(&str) -> String,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(is_itself) {
            self.line.push_str(text);
        } else {
            let quoted = (self.escape)(text);
            self.line.push_str(&quoted[1..quoted.len() - 1]);
        }
        Ok(())
    }
}

fn quote(line: &mut String, text: &str, escape: fn(&str) -> String) -> fmt::Result {
    line.push('"');
    Escaped { line, escape }.write_str(text)?;
    line.push('"');
    Ok(())
}

/// As Rust writes it. Most numbers here have three decimals at most, and those are quickly written.
fn push_number(line: &mut String, number: f64) -> fmt::Result {
    let thousandths = (number * 1e3).round();
    if !(0.0..1e12).contains(&thousandths) || thousandths / 1e3 != number {
        return write!(line, "{number}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 2^40")]
    push_thousandths(line, thousandths as u64);
    Ok(())
}

fn push_thousandths(line: &mut String, thousandths: u64) {
    push_whole(line, thousandths / 1_000);
    let mut rest = thousandths % 1_000;
    if rest > 0 {
        line.push('.');
    }
    while rest > 0 {
        push_whole(line, rest / 100);
        rest = rest % 100 * 10;
    }
}

fn push_whole(line: &mut String, number: u64) {
    line.push_str(decimal(number, &mut [0; 20]));
}

/// A span in milliseconds, to the microsecond, as it stands in lines.
pub fn millis(span: Duration) -> String {
    let mut text = String::with_capacity(16);
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    push_thousandths(&mut text, micros);
    text
}

/// Nearly all that is logged: it needs no escape in any form.
fn is_itself(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

/// logrus leaves these bare and quotes everything else.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b))
}

fn as_debug(text: &str) -> String {
    format!("{text:?}")
}

fn as_json(text: &str) -> String {
    super::json::text(text)
}

/// Bytes of a request's line; others may be longer.
const USUAL_LINE: usize = 384;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: LogFormat) -> String {
        let fields = [
            ("empty", Field::Text("".into())),
            ("req.method", Field::Text("GET".into())),
            ("req.path", Field::Text("/a b\n\"".into())),
            ("res.duration", Field::Number(0.25)),
            ("res.status", Field::Whole(200)),
        ];
        let at = Wall::from_unix_seconds(1_795_412_524);
        Line { at, level: "info", message: format_args!("GET {} `é\"", "/a\\"), fields: &fields }.render(format)
    }

    #[test]
    fn text_lines_look_like_logrus() {
        assert_eq!(
            check(LogFormat::Text),
            "time=\"2026-11-23T05:42:04Z\" level=info msg=\"GET /a\\\\ `é\\\"\" req.method=GET req.path=\"/a b\\n\\\"\" res.duration=0.25 res.status=200\n"
        );
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        let thousandths = (0..20_000).map(|number| f64::from(number) / 1e3);
        let others = [1e11, 1e12, 1e15, -1.5, 0.000_1, 12.345_6, f64::NAN, f64::MAX, 123_456.789];
        for number in thousandths.chain(others) {
            let mut written = String::new();
            push_number(&mut written, number).unwrap();
            assert_eq!(written, number.to_string());
        }
        for (micros, text) in [(0, "0"), (7, "0.007"), (1_500, "1.5"), (2_000_000, "2000")] {
            assert_eq!(millis(Duration::from_micros(micros)), text);
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
