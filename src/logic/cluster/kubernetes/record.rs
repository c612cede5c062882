//! The scanned values of one object as raw JSON, and their parsers.

use serde::Deserialize;

use super::scan::{Field, FieldSlot, Raw};
use super::{ObjectIdentity, Resource, Unreadable, one_line};

/// The kept values of an object, or of a page's metadata.
#[derive(Debug)]
pub(super) struct Record {
    fields: [Option<Raw>; Field::COUNT],
    annotations: Vec<Option<Raw>>,
    /// The first field that doesn't have the expected form
    fault: Option<String>,
    /// The destination of the current value; `None`: it is skipped
    pub(super) slot: Option<FieldSlot>,
    /// Length of the object so far, in bytes
    pub(super) bytes: u64,
}

impl Record {
    pub(super) fn new(annotations: usize) -> Self {
        let fields = [const { None }; Field::COUNT];
        Self { fields, annotations: vec![None; annotations], fault: None, slot: None, bytes: 0 }
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    /// Stores a value. Of duplicate keys the last one counts.
    pub(super) fn store(&mut self, raw: Raw, wanted: &[Box<str>]) {
        match self.slot.take() {
            None => {}
            Some(FieldSlot::Field(field)) => self.fields[field as usize] = Some(raw),
            Some(FieldSlot::Annotations(bits)) => {
                for place in (0..wanted.len()).filter(|place| bits & 1 << place != 0) {
                    self.annotations[place] = Some(raw.clone());
                }
            }
        }
    }

    /// Takes the page's own fields from the record of the last item.
    pub(super) fn keep_page(&mut self, last: &mut Self) {
        for field in [Field::PageVersion, Field::Continuation] {
            self.fields[field as usize] = last.fields[field as usize].take();
        }
    }

    /// Refuses an object of an unexpected form.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.fault {
            _ if self.bytes > LONGEST_OBJECT => Err(format!("it is longer than {} MiB", LONGEST_OBJECT >> 20)),
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// A value of any type; `None`: absent or null.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self, field: Field) -> Result<Option<T>, String> {
        match &self.fields[field as usize] {
            None => Ok(None),
            Some(Raw::TooLong) => Err(format!("`{}` is too long", field.name())),
            Some(Raw::Whole(json)) => {
                serde_json::from_slice(json).map_err(|error| format!("`{}`: {error}", field.name()))
            }
        }
    }

    /// A string; empty if absent.
    pub(super) fn text(&self, field: Field) -> Result<String, String> {
        self.read(field).map(Option::unwrap_or_default)
    }

    /// A required string.
    pub(super) fn required(&self, field: Field) -> Result<String, String> {
        match self.text(field)? {
            text if text.is_empty() => Err(format!("`{}` is missing", field.name())),
            text => Ok(text),
        }
    }

    /// The values of the wanted annotations; [`TOO_LONG`] for those that exceed their limit.
    pub(super) fn annotations<const N: usize>(&self) -> Result<[Option<String>; N], String> {
        let mut read = [const { None }; N];
        for (place, raw) in read.iter_mut().zip(&self.annotations) {
            *place = match raw {
                None => None,
                Some(Raw::TooLong) => Some(TOO_LONG.to_owned()),
                Some(Raw::Whole(json)) => {
                    Some(serde_json::from_slice(json).map_err(|error| format!("an annotation: {error}"))?)
                }
            };
        }
        Ok(read)
    }

    /// The object's identity, as far as it can be parsed.
    pub(super) fn identity(&self) -> ObjectIdentity {
        let text = |field| self.text(field).ok().filter(|text| !text.is_empty());
        ObjectIdentity { namespace: text(Field::Namespace), name: text(Field::Name), uid: text(Field::Uid) }
    }

    pub(super) fn unreadable(&self, resource: Resource, why: &str) -> Unreadable {
        Unreadable { resource, why: one_line(why), identity: self.identity() }
    }
}

/// Replaces an annotation that is too long to be valid. No role, external ID or policy may contain these characters,
/// so it is refused like any other invalid value. A session name is sanitised and truncated anyway.
pub(super) const TOO_LONG: &str = "<too long>";
/// etcd stores objects of up to 1.5 MiB (its `--max-request-bytes`), which is 9 MiB with every character escaped: a
/// longer object can't come from a cluster.
pub(super) const LONGEST_OBJECT: u64 = 64 * 1_024 * 1_024;
