//! YAML from and to a JSON value. It is parsed from events. The file's size limits depth and size, except that
//! aliases repeat an anchored node, so copies count too.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use super::json;

/// The first document, or the position of the error. Numbers become strings, as written.
pub fn read(text: &str) -> Result<Value, Marker> {
    let documents = read_all(text, Numbers::AsTexts)?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

/// How numbers are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    AsTexts,
    /// Integers become numbers, as in Kubernetes.
    Whole,
}

/// All documents, or the position of the error.
pub fn read_all(text: &str, numbers: Numbers) -> Result<Vec<Value>, Marker> {
    let mut parser = Parser::new_from_str(text);
    // Weights and nodes, by the parser's anchor numbers.
    let mut anchored: BTreeMap<usize, (usize, Value)> = BTreeMap::new();
    // The outermost node contains the documents.
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

/// A sequence or mapping that hasn't ended.
struct OpenNode {
    /// 0: no anchor
    anchor: usize,
    weight: usize,
    node: Value,
    /// The name of the field whose value comes next
    name: Option<Value>,
}

impl OpenNode {
    fn new(anchor: usize, node: Value) -> Self {
        Self { anchor, weight: NODE_BYTES, node, name: None }
    }

    /// Adds the next node; fails if the document gets too heavy or a field occurs twice. Values of names that aren't
    /// strings are dropped.
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

/// Only a plain scalar, or one with such a tag, may be something other than a string (YAML 1.2, "Core Schema").
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

/// Writes a value as a document in block style, with multi-line strings as literals.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    put_block(&mut text, value, 0);
    text
}

/// Writes a value that starts on its own line.
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
                    // The first field follows the dash.
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

/// Writes a value after its name or dash.
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

/// Whether a text can be written as a literal block.
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

/// A text on one line: plain if it can't be parsed as anything else, otherwise as a JSON string.
fn line_of(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_'))
        && !RESERVED_WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_word { text.to_owned() } else { json::text(text) }
}

fn put_indent(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Words that some YAML parsers don't read as strings.
const RESERVED_WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

const CORE: &str = "tag:yaml.org,2002:";
/// A kubeconfig has five levels; its extensions may have more.
const DEEPEST: usize = 64;
/// The approximate size of a node besides its text, in bytes.
const NODE_BYTES: usize = 64;
/// Limit of all nodes including copies, in bytes. A hundred clusters with their certificates are far below.
const HEAVIEST: usize = 16 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn written_yaml_parses_to_the_same_value() {
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
    fn numbers_are_strings_unless_requested() {
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
    fn tags_determine_the_type_of_a_plain_scalar() {
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
        assert_eq!(write(&json!(["a\nb"])), "- |-\n  a\n  b\n");
    }
}
