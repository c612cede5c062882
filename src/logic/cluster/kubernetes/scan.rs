//! A JSON document of the API server, taken in piece by piece while it comes. The few fields that are used are kept,
//! each within its bound; everything else is skipped without being held, however long it is.
//!
//! An object thus costs what is kept of it, not what a tenant wrote into it. What is skipped is only searched for the
//! ends of its texts and brackets; what is kept is read strictly, by [`Record`].

mod field;
mod value;

use super::record::Record;
use field::Under;
pub(super) use field::{Field, FieldSlot, ObjectScope, Raw};
use value::{Value, Walked};

/// Where in a document the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A value, for what the key before it said
    Value(Under),
    InValue,
    KeyOrEnd,
    Key,
    InKey,
    Colon,
    ItemOrEnd,
    CommaOrEnd,
    /// Nothing but white space: the document is whole.
    End,
}

/// What a piece of a document completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything was taken in.
    More,
    /// An item of the list ends after so many bytes of the piece.
    Item(usize),
    /// The document ends after so many bytes of the piece.
    Whole(usize),
}

/// The machine.
#[derive(Debug)]
pub(super) struct Scanner {
    root: ObjectScope,
    /// The objects and lists around the next byte, the innermost last
    scopes: Vec<ObjectScope>,
    expect: Expect,
    /// The key being read, as it is written; too long a one is cut, and equals none that is wanted.
    key: Vec<u8>,
    value: Value,
    record: Record,
    /// The names of the annotations that are kept
    wanted: Vec<Box<str>>,
    /// Bytes since the document began
    position: u64,
    /// How often there were `items`
    lists: u32,
}

impl Scanner {
    /// Expects a document of this shape.
    pub(super) fn new(root: ObjectScope, wanted: &[&str]) -> Self {
        Self {
            root,
            scopes: Vec::with_capacity(DEPTH),
            expect: Expect::Value(Under::Enter(root)),
            key: Vec::new(),
            value: Value::default(),
            record: Record::new(wanted.len()),
            wanted: wanted.iter().map(|name| Box::from(*name)).collect(),
            position: 0,
            lists: 0,
        }
    }

    /// Forgets everything and expects a new document.
    pub(super) fn restart(&mut self) {
        self.scopes.clear();
        self.expect = Expect::Value(Under::Enter(self.root));
        self.value.end();
        self.record = Record::new(self.wanted.len());
        (self.position, self.lists) = (0, 0);
    }

    /// Whether nothing of a document has come yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.expect == Expect::Value(Under::Enter(self.root)) && self.scopes.is_empty()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.expect == Expect::End
    }

    pub(super) fn has_items(&self) -> bool {
        self.lists == 1
    }

    /// What was kept since the last item.
    pub(super) fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Takes what was kept of the object that is complete; what belongs to the list around it stays.
    pub(super) fn take(&mut self) -> Record {
        let mut next = Record::new(self.wanted.len());
        next.keep_page(&mut self.record);
        std::mem::replace(&mut self.record, next)
    }

    /// Takes in a piece, up to the end of an item or of the document. An error ends the document: what follows can't be
    /// understood.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Progress, String> {
        let mut at = 0;
        while at < piece.len() {
            let (taken, complete) = self.advance(&piece[at..])?;
            at += taken;
            self.position += taken as u64;
            self.record.bytes += taken as u64;
            match complete {
                Complete::Nothing => {}
                Complete::Item => return Ok(Progress::Item(at)),
                Complete::Document => return Ok(Progress::Whole(at)),
            }
        }
        Ok(Progress::More)
    }

    fn advance(&mut self, rest: &[u8]) -> Result<(usize, Complete), String> {
        match self.expect {
            Expect::InValue => {
                let Walked { taken, is_over } = self.value.walk(rest);
                let complete = if is_over { self.end_value() } else { Complete::Nothing };
                Ok((taken, complete))
            }
            Expect::InKey => {
                let Walked { taken, is_over } = self.value.walk(rest);
                if is_over {
                    self.key = self.value.end();
                    self.expect = Expect::Colon;
                }
                Ok((taken, Complete::Nothing))
            }
            _ if rest[0].is_ascii_whitespace() => Ok((1, Complete::Nothing)),
            _ => self.step(rest[0]),
        }
    }

    /// One byte outside of keys and values.
    fn step(&mut self, byte: u8) -> Result<(usize, Complete), String> {
        let in_items = self.scopes.last() == Some(&ObjectScope::Items);
        match (self.expect, byte) {
            (Expect::Value(under), _) => return self.begin_value(under, byte).map(|taken| (taken, Complete::Nothing)),
            (Expect::ItemOrEnd, b']') => return Ok((1, self.close())),
            (Expect::ItemOrEnd, _) => {
                self.expect = Expect::Value(Under::Enter(ObjectScope::Object));
                return Ok((0, Complete::Nothing));
            }
            (Expect::KeyOrEnd | Expect::Key, b'"') => {
                self.value.begin(Some(LONGEST_KEY));
                self.expect = Expect::InKey;
                return Ok((0, Complete::Nothing));
            }
            (Expect::Colon, b':') => self.expect = Expect::Value(self.under()),
            (Expect::KeyOrEnd, b'}') => return Ok((1, self.close())),
            (Expect::CommaOrEnd, b'}') if !in_items => return Ok((1, self.close())),
            (Expect::CommaOrEnd, b']') if in_items => return Ok((1, self.close())),
            (Expect::CommaOrEnd, b',') if in_items => self.expect = Expect::Value(Under::Enter(ObjectScope::Object)),
            (Expect::CommaOrEnd, b',') => self.expect = Expect::Key,
            _ => return Err(self.unexpected(byte)),
        }
        Ok((1, Complete::Nothing))
    }

    /// Enters an object or a list that matters; anything else is a value that is kept or skipped. Gives how many bytes
    /// that took.
    fn begin_value(&mut self, under: Under, byte: u8) -> Result<usize, String> {
        if under == Under::Items {
            self.lists += 1;
        }
        match (under, byte) {
            (Under::Enter(scope), b'{') => self.open(scope, Expect::KeyOrEnd),
            (Under::Items, b'[') => self.open(ObjectScope::Items, Expect::ItemOrEnd),
            (Under::Items, b'n') => self.begin_leaf(None),
            (Under::Items, _) => return Err("`items` is no list".to_owned()),
            (Under::Enter(scope), b'"' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                if self.scopes.is_empty() {
                    return Err(format!("it is no {}", scope.name()));
                }
                if scope == ObjectScope::Object || scope != ObjectScope::PageMetadata && byte != b'n' {
                    self.record.fault(format!("`{}` is no object", scope.name()));
                }
                self.begin_leaf(None);
            }
            (_, b'{' | b'"' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.begin_leaf(if let Under::Keep(slot) = under { Some(slot) } else { None });
            }
            _ => return Err(self.unexpected(byte)),
        }
        Ok(usize::from(self.expect != Expect::InValue))
    }

    fn begin_leaf(&mut self, slot: Option<FieldSlot>) {
        self.value.begin(slot.map(FieldSlot::longest));
        self.record.slot = slot;
        self.expect = Expect::InValue;
    }

    fn open(&mut self, scope: ObjectScope, expect: Expect) {
        self.scopes.push(scope);
        self.expect = expect;
    }

    fn end_value(&mut self) -> Complete {
        let is_whole = self.value.is_whole();
        let bytes = self.value.end();
        self.record.store(if is_whole { Raw::Whole(bytes) } else { Raw::TooLong }, &self.wanted);
        self.expect = Expect::CommaOrEnd;
        if self.scopes.last() == Some(&ObjectScope::Items) { Complete::Item } else { Complete::Nothing }
    }

    fn close(&mut self) -> Complete {
        let closed = self.scopes.pop();
        match self.scopes.last() {
            None => {
                self.expect = Expect::End;
                Complete::Document
            }
            Some(around) => {
                self.expect = Expect::CommaOrEnd;
                let is_item = *around == ObjectScope::Items && closed == Some(ObjectScope::Object);
                if is_item { Complete::Item } else { Complete::Nothing }
            }
        }
    }

    /// What the value after the key just read is for.
    fn under(&mut self) -> Under {
        let decoded: String;
        let key = match std::str::from_utf8(&self.key).map(|key| key.trim_matches('"')) {
            Ok(plain) if !self.key.contains(&b'\\') => plain,
            _ => {
                decoded = serde_json::from_slice(&self.key).unwrap_or_default();
                &decoded
            }
        };
        self.scopes.last().map_or(Under::Skip, |scope| scope.under(key, &self.wanted))
    }

    fn unexpected(&self, byte: u8) -> String {
        format!("unexpected `{}` after {} bytes", byte.escape_ascii(), self.position)
    }
}

/// What a step completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Complete {
    Nothing,
    Item,
    Document,
}

/// The deepest place that is kept: list, items, object, metadata, annotations.
const DEPTH: usize = 5;
/// The name of an annotation has at most 317 characters (API concepts, "Syntax and character set"), of six bytes each
/// if all are escaped.
const LONGEST_KEY: usize = 2 * 1_024;
