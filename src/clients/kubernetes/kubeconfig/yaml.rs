//! YAML as a JSON value, from the parser's events. What stands in the file bounds depth and size, but a node that is
//! named can stand for itself many times over: copies count too.

use serde_json::{Map, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// The first of the documents, or the place of what can't be read. Numbers are texts, as they are written.
pub(super) fn read(text: &str) -> Result<Value, Marker> {
    let mut parser = Parser::new_from_str(text);
    // By the numbers that the parser gives to anchors: weights and nodes.
    let mut anchored: Vec<(usize, Value)> = Vec::new();
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
                (anchor, text.len() + NODE_BYTES, scalar(text, style, tag.as_ref()))
            }
            Event::Alias(anchor) => {
                let (weight, node) = anchored.get(anchor).cloned().unwrap_or((NODE_BYTES, Value::Null));
                (0, weight, node)
            }
            Event::StreamEnd => {
                let first = open.first_mut().and_then(|documents| documents.node.get_mut(0));
                return Ok(first.map_or(Value::Null, Value::take));
            }
            _ => continue,
        };
        if anchor > 0 {
            if anchored.len() <= anchor {
                anchored.resize(anchor + 1, (NODE_BYTES, Value::Null));
            }
            anchored[anchor] = (weight, node.clone());
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
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Value {
    let is_open = tag.is_none_or(|tag| tag.handle == CORE && matches!(tag.suffix.as_str(), "bool" | "null"));
    match text.as_str() {
        _ if style != TScalarStyle::Plain || !is_open => Value::String(text),
        "" | "~" | "null" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => Value::String(text),
    }
}

const CORE: &str = "tag:yaml.org,2002:";
/// A kubeconfig has five levels; extensions in it may have more.
const DEEPEST: usize = 64;
/// About what a node takes beside its text.
const NODE_BYTES: usize = 64;
/// Of all nodes, copies included. A hundred clusters with their certificates stay far below.
const HEAVIEST: usize = 16 * 1_024 * 1_024;
