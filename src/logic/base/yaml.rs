//! YAML as a JSON value and back. It is read from the parser's events. What stands in the file bounds depth and size, but a node that is
//! named can stand for itself many times over: copies count too.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use super::json;

/// The first of the documents, or the place of what can't be read. Numbers are texts, as they are written.
pub fn read(text: &str) -> Result<Value, Marker> {
    let documents = read_all(text, Numbers::AsTexts)?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    AsTexts,
    /// Whole ones are numbers, as Kubernetes reads them.
    Whole,
}

/// All documents, or the place of what can't be read.
pub fn read_all(text: &str, numbers: Numbers) -> Result<Vec<Value>, Marker> {
    let mut parser = Parser::new_from_str(text);
    // By the numbers that the parser gives to anchors: weights and nodes.
    let mut anchored: BTreeMap<usize, (usize, Value)> = BTreeMap::new();
    // First, what holds the documents.
    let mut open = vec![OpenNode::new(0, Value::Array(Vec::new()))];
    loop {
        let (event, at) = parser.next_token().map_err(|error| *error.marker())?;
        let (anchor, weight, node) = match event {
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() > DEEPEST => return Err(at),
            Event::SequenceStart(anchor, _) => {
                open.push(OpenNode::new(anchor, Value::Array(Vec::new())));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(OpenNode::new(anchor, Value::Object(Map::new())));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(OpenNode { anchor, weight, node, .. }) = open.pop() else { return Err(at) };
                (anchor, weight, node)
            }
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, text.len() + NODE_BYTES, scalar(text, style, tag.as_ref(), numbers))
            }
            Event::Alias(anchor) => {
                let (weight, node) = anchored.get(&anchor).cloned().unwrap_or((NODE_BYTES, Value::Null));
                (0, weight, node)
            }
            Event::StreamEnd => {
                return Ok(match open.pop().map(|documents| documents.node) {
                    Some(Value::Array(documents)) => documents,
                    _ => Vec::new(),
                });
            }
            _ => continue,
        };
        if anchor > 0 {
            anchored.insert(anchor, (weight, node.clone()));
        }
        if !open.last_mut().is_some_and(|around| around.put(weight, node)) {
            return Err(at);
        }
    }
}

/// A list or a mapping that hasn't ended.
struct OpenNode {
    /// 0: it has none
    anchor: usize,
    weight: usize,
    node: Value,
    /// Of the field whose value comes next
    name: Option<Value>,
}

impl OpenNode {
    fn new(anchor: usize, node: Value) -> Self {
        Self { anchor, weight: NODE_BYTES, node, name: None }
    }

    /// Takes the next node; not if it gets too heavy, nor if a field stands twice. Names that are no texts are nobody's.
    fn put(&mut self, weight: usize, node: Value) -> bool {
        self.weight = self.weight.saturating_add(weight);
        let once = match (&mut self.node, self.name.take()) {
            (Value::Object(_), None) => {
                self.name = Some(node);
                true
            }
            (Value::Object(fields), Some(Value::String(name))) => fields.insert(name, node).is_none(),
            (Value::Array(items), _) => {
                items.push(node);
                true
            }
            _ => true,
        };
        once && self.weight <= HEAVIEST
    }
}

/// Only a plain text, or one with such a tag, may be something else (YAML 1.2, "Core Schema").
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>, numbers: Numbers) -> Value {
    let is_open = tag.is_none_or(|tag| tag.handle == CORE && matches!(tag.suffix.as_str(), "bool" | "null"));
    match text.as_str() {
        _ if style != TScalarStyle::Plain || !is_open => Value::String(text),
        "" | "~" | "null" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) if numbers == Numbers::Whole => number.into(),
            _ => Value::String(text),
        },
    }
}

/// Writes a value as a document, block by block; texts of several lines as they are.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    put_block(&mut text, value, 0);
    text
}

/// A value that begins on a line of its own.
fn put_block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                put_indent(text, indent);
                text.push_str(&line_of(name));
                text.push(':');
                put_value(text, value, indent + 2);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                put_indent(text, indent);
                text.push('-');
                let mut rest = String::new();
                put_block(&mut rest, item, indent + 2);
                match item {
                    // Its first field stands behind the dash.
                    Value::Object(_) | Value::Array(_) => text.push_str(&format!(" {}", rest.trim_start())),
                    item => put_value(text, item, indent + 2),
                }
            }
        }
        value => {
            put_indent(text, indent);
            text.push_str(&flat(value));
            text.push('\n');
        }
    }
}

/// A value behind its name or dash.
fn put_value(text: &mut String, value: &Value, indent: usize) {
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    match value {
        _ if is_block => {
            text.push('\n');
            put_block(text, value, indent);
        }
        Value::String(lines) if is_literal(lines) => {
            text.push_str(" |-\n");
            for line in lines.lines() {
                put_indent(text, indent);
                text.push_str(line);
                text.push('\n');
            }
        }
        value => text.push_str(&format!(" {}\n", flat(value))),
    }
}

/// Whether a text can stand line by line as it is.
fn is_literal(text: &str) -> bool {
    let is_plain = |line: &str| !line.is_empty() && line.trim_end() == line && !line.chars().any(char::is_control);
    text.contains('\n') && !text.ends_with('\n') && !text.starts_with(' ') && text.split('\n').all(is_plain)
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => line_of(text),
        value => value.to_string(),
    }
}

/// A text on one line: as it is where nothing else could be read from that, else as JSON writes it.
fn line_of(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_'))
        && !NO_TEXTS.contains(&text.to_ascii_lowercase().as_str());
    if is_word { text.to_owned() } else { json::text(text) }
}

fn put_indent(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Words that some reader of YAML takes for something else than a text.
const NO_TEXTS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

const CORE: &str = "tag:yaml.org,2002:";
/// A kubeconfig has five levels; extensions in it may have more.
const DEEPEST: usize = 64;
/// About what a node takes beside its text.
const NODE_BYTES: usize = 64;
/// Of all nodes, copies included. A hundred clusters with their certificates stay far below.
const HEAVIEST: usize = 16 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let value = json!({
            "plain": "a.b/c-d_e", "quoted": "a: b", "number": "5", "count": 5, "yes": true, "no": "no", "nothing": null,
            "flag": "--node=$(NODE_NAME)", "empty": {}, "none": [], "text": "", "dash": "- a",
            "lines": "first\n  second: {x}\nthird # no comment", "ends": "a\n", "blank": "a\n\nb", "begins": " a\nb",
            "list": [1, "two", [3, [4]], {"a": {"b": [{"c": "d", "e": []}]}, "f": "g\nh"}, {}, null, "x\ny"],
            "kubernetes.io/os": "linux", "*": "&a",
        });
        let text = write(&value);
        assert_eq!(read_all(&text, Numbers::Whole).unwrap(), [value], "{text}");
        assert!(text.contains("lines: |-\n  first\n    second: {x}\n"), "{text}");
        assert!(text.contains("count: 5\n") && text.contains("number: \"5\"\n") && text.contains("plain: a.b/c-d_e\n"));
    }

    #[test]
    fn numbers_are_texts_unless_they_are_asked_for() {
        assert_eq!(read("a: 5").unwrap(), json!({"a": "5"}));
        assert_eq!(
            read_all("a: 5\n---\n- '5'\n- 1.5", Numbers::Whole).unwrap(),
            [json!({"a": 5}), json!(["5", "1.5"])]
        );
        assert_eq!(read("").unwrap(), Value::Null);
    }

    #[test]
    fn a_field_stands_once_and_a_name_stands_for_its_node() {
        assert!(read("a: 1\na: 2").is_err());
        assert_eq!(
            read("a: &x [1]\nb: *x\nc: &y z\nd: [*y, *x]").unwrap(),
            json!({"a": ["1"], "b": ["1"], "c": "z", "d": ["z", ["1"]]})
        );
    }

    #[test]
    fn tags_say_what_a_plain_text_is() {
        for (text, value) in [
            ("true", json!(true)),
            ("False", json!(false)),
            ("~", json!(null)),
            ("'true'", json!("true")),
            ("!!bool true", json!(true)),
            ("!!null null", json!(null)),
            ("!!str true", json!("true")),
            ("!bool true", json!("true")),
            ("!mine true", json!("true")),
        ] {
            assert_eq!(read(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn depth_and_weight_have_bounds_and_copies_count() {
        let nested = |levels: usize| read(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(nested(64).is_ok() && nested(65).is_err());
        assert!(read(&format!("a: {}", "x".repeat(1_024 * 1_024))).is_ok());
        let copies = |levels: usize| {
            let lists = (1..=levels)
                .map(|level| format!("a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")));
            read(&format!("a0: &a0 x\n{}", lists.collect::<Vec<_>>().join("\n")))
        };
        assert!(copies(4).is_ok() && copies(6).is_err());
    }

    #[test]
    fn blocks_are_indented_by_two_and_empty_ones_stand_on_their_line() {
        let value = json!({
            "a": {"b": {"c": [1, [2, 3], {"d": "e", "f": ["g"]}]}},
            "empty": {}, "none": [], "text": "x \ny", "bell": "x\u{7}\ny",
        });
        let written = "a:\n  b:\n    c:\n      - 1\n      - - 2\n        - 3\n      - d: e\n        f:\n          - g\n\
                       bell: \"x\\u0007\\ny\"\nempty: {}\nnone: []\ntext: \"x \\ny\"\n";
        assert_eq!(write(&value), written);
        assert_eq!(read_all(written, Numbers::Whole).unwrap(), [value]);
        assert_eq!([write(&json!([])), write(&json!({})), write(&json!(["a"]))], ["[]\n", "{}\n", "- a\n"]);
    }
}
