//! What was kept of one object, as it was written, and how it is read.

use serde::Deserialize;

use super::scan::{Field, FieldSlot, Raw};
use super::{ObjectIdentity, Resource, Unreadable, one_line};

/// The kept values of an object, or of a page's own.
#[derive(Debug)]
pub(super) struct Record {
    fields: [Option<Raw>; Field::COUNT],
    annotations: Vec<Option<Raw>>,
    /// The first thing that has not the expected shape
    fault: Option<String>,
    /// Where the value that is being read goes; `None`: nowhere
    pub(super) slot: Option<FieldSlot>,
    /// How many bytes of the document flowed by
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

    /// Puts a value where it belongs. The last of two under one key counts.
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

    /// Takes over what is the page's own.
    pub(super) fn keep_page(&mut self, last: &mut Self) {
        for field in [Field::PageVersion, Field::Continuation] {
            self.fields[field as usize] = last.fields[field as usize].take();
        }
    }

    /// Refuses what is no object of the expected shape.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.fault {
            _ if self.bytes > LONGEST_OBJECT => Err(format!("it is longer than {} MiB", LONGEST_OBJECT >> 20)),
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// A value of any type; `None`: it isn't there, or null.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self, field: Field) -> Result<Option<T>, String> {
        match &self.fields[field as usize] {
            None => Ok(None),
            Some(Raw::TooLong) => Err(format!("`{}` is too long", field.name())),
            Some(Raw::Whole(json)) => {
                serde_json::from_slice(json).map_err(|error| format!("`{}`: {error}", field.name()))
            }
        }
    }

    /// A text; empty if it isn't there.
    pub(super) fn text(&self, field: Field) -> Result<String, String> {
        self.read(field).map(Option::unwrap_or_default)
    }

    /// A text that must be there.
    pub(super) fn required(&self, field: Field) -> Result<String, String> {
        match self.text(field)? {
            text if text.is_empty() => Err(format!("`{}` is missing", field.name())),
            text => Ok(text),
        }
    }

    /// The values of the wanted annotations; of one that is too long its first bytes say only that.
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

    /// Whose object it is, as far as that can be read.
    pub(super) fn identity(&self) -> ObjectIdentity {
        let text = |field| self.text(field).ok().filter(|text| !text.is_empty());
        ObjectIdentity { namespace: text(Field::Namespace), name: text(Field::Name), uid: text(Field::Uid) }
    }

    pub(super) fn unreadable(&self, resource: Resource, why: &str) -> Unreadable {
        Unreadable { resource, why: one_line(why), identity: self.identity() }
    }
}

/// Stands for an annotation that nobody could use: no role, external id or policy may have such characters, so that it
/// is refused like any other wrong value. A session's name is cleaned and cut, whatever it is.
pub(super) const TOO_LONG: &str = "<too long>";
/// etcd keeps objects of 1.5 MiB (its `--max-request-bytes`), which are 9 MiB with every character escaped: what is
/// longer is no object of a cluster.
pub(super) const LONGEST_OBJECT: u64 = 64 * 1_024 * 1_024;
