//! An incremental scanner of the API server's JSON documents. It keeps the few fields that are used, each within its
//! limit, and skips everything else without buffering it.
//!
//! So an object's memory depends on the kept fields, not on what a tenant wrote into it. Skipped values are only
//! searched for the ends of their strings and brackets; kept values are parsed strictly, by [`Record`].

mod field;
mod value;

use super::record::Record;
use field::Under;
pub(super) use field::{Field, FieldSlot, ObjectScope, Raw};
use value::{Value, Walked};

/// The kind of token expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A value, with its purpose from the preceding key
    Value(Under),
    InValue,
    KeyOrEnd,
    Key,
    InKey,
    Colon,
    ItemOrEnd,
    CommaOrEnd,
    /// Only whitespace: the document is complete
    End,
}

/// What a piece of a document completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The whole piece was consumed.
    More,
    /// An item of the list ends at this offset in the piece.
    Item(usize),
    /// The document ends at this offset in the piece.
    Whole(usize),
}

/// The scanner's state.
#[derive(Debug)]
pub(super) struct Scanner {
    root: ObjectScope,
    /// The enclosing objects and lists, innermost last
    scopes: Vec<ObjectScope>,
    expect: Expect,
    /// The current key as raw JSON; an over-long key is truncated, and then equals no wanted key
    key: Vec<u8>,
    value: Value,
    record: Record,
    /// The names of the annotations to keep
    wanted: Vec<Box<str>>,
    /// Bytes since the start of the document
    position: u64,
    /// The number of `items` keys
    lists: u32,
}

impl Scanner {
    /// A scanner for a document of this shape.
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

    /// Resets the scanner for a new document.
    pub(super) fn restart(&mut self) {
        self.scopes.clear();
        self.expect = Expect::Value(Under::Enter(self.root));
        self.value.end();
        self.record = Record::new(self.wanted.len());
        (self.position, self.lists) = (0, 0);
    }

    /// Whether no byte of a document has been consumed.
    pub(super) fn is_fresh(&self) -> bool {
        self.expect == Expect::Value(Under::Enter(self.root)) && self.scopes.is_empty()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.expect == Expect::End
    }

    pub(super) fn has_items(&self) -> bool {
        self.lists == 1
    }

    /// The values kept since the last item.
    pub(super) fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Takes the record of the completed object; the enclosing list's own values stay.
    pub(super) fn take(&mut self) -> Record {
        let mut next = Record::new(self.wanted.len());
        next.keep_page(&mut self.record);
        std::mem::replace(&mut self.record, next)
    }

    /// Consumes a piece up to the end of an item or of the document. After an error the document can't be continued.
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

    /// Consumes one byte outside of keys and values.
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

    /// Enters an object or list with wanted fields, or begins a value that is kept or skipped. Returns the number of
    /// bytes consumed.
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
        self.scopes.pop();
        match self.scopes.last() {
            None => {
                self.expect = Expect::End;
                Complete::Document
            }
            Some(around) => {
                self.expect = Expect::CommaOrEnd;
                if *around == ObjectScope::Items { Complete::Item } else { Complete::Nothing }
            }
        }
    }

    /// The purpose of the value after the current key.
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

/// The deepest nesting with kept fields: list, items, object, metadata, annotations.
const DEPTH: usize = 5;
/// An annotation's name has at most 317 characters (API concepts, "Syntax and character set"), of six bytes each if
/// all are escaped.
const LONGEST_KEY: usize = 2 * 1_024;
