//! Log lines, as text in the manner of logrus or as one JSON object.

use std::fmt::Write;

use super::time::Wall;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A value beside a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Text(String),
    Number(f64),
    Whole(i64),
}

/// Renders a line with its closing newline. Keys come in order; quotes and controls are escaped.
pub fn render(format: LogFormat, at: Wall, level: &str, message: &str, fields: &[(String, Field)]) -> String {
    let mut fields: Vec<&(String, Field)> = fields.iter().collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    match format {
        LogFormat::Text => text(at, level, message, &fields),
        LogFormat::Json => json(at, level, message, &fields),
    }
}

fn text(at: Wall, level: &str, message: &str, fields: &[&(String, Field)]) -> String {
    let mut line = format!("time=\"{}\" level={level} msg={}", at.rfc3339(), quoted(message));
    for (key, value) in fields {
        let value = match value {
            Field::Text(text) => quoted_if_needed(text),
            Field::Number(number) => number.to_string(),
            Field::Whole(number) => number.to_string(),
        };
        let _ = write!(line, " {key}={value}"); // writing to a String can't fail
    }
    line.push('\n');
    line
}

fn json(at: Wall, level: &str, message: &str, fields: &[&(String, Field)]) -> String {
    let mut line = format!("{{\"level\":\"{level}\",\"msg\":{}", json_text(message));
    for (key, value) in fields {
        let value = match value {
            Field::Text(text) => json_text(text),
            Field::Number(number) if number.is_finite() => number.to_string(),
            Field::Number(_) => "null".to_owned(),
            Field::Whole(number) => number.to_string(),
        };
        let _ = write!(line, ",{}:{value}", json_text(key)); // writing to a String can't fail
    }
    let _ = writeln!(line, ",\"time\":\"{}\"}}", at.rfc3339());
    line
}

/// logrus leaves these bare and quotes everything else.
fn quoted_if_needed(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b));
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: LogFormat) -> String {
        let fields = [
            ("req.path".to_owned(), Field::Text("/a b\n\"".into())),
            ("req.method".to_owned(), Field::Text("GET".into())),
            ("res.duration".to_owned(), Field::Number(0.25)),
            ("res.status".to_owned(), Field::Whole(200)),
            ("empty".to_owned(), Field::Text(String::new())),
        ];
        render(format, Wall::from_unix_seconds(1_795_412_524), "info", "GET /a", &fields)
    }

    #[test]
    fn text_lines_look_like_logrus() {
        assert_eq!(
            check(LogFormat::Text),
            "time=\"2026-11-23T05:42:04Z\" level=info msg=\"GET /a\" empty=\"\" req.method=GET req.path=\"/a b\\n\\\"\" res.duration=0.25 res.status=200\n"
        );
    }

    #[test]
    fn json_lines_are_one_object() {
        let line = check(LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["req.path"], "/a b\n\"");
        assert_eq!(object["res.duration"], 0.25);
        assert_eq!(object["time"], "2026-11-23T05:42:04Z");
    }
}
