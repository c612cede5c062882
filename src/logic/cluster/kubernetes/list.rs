//! A page of a list, read while it comes: each object is handed on as soon as it is whole, so that no page is ever held.
//! One that can't be read is skipped to its end, and handed on as such.

use super::object::{read, wanted};
use super::scan::{Field, ObjectScope, Progress, Scanner};
use super::{AnnotationKeys, ListPage, Object, Resource, ResourceVersion, Unreadable};

/// An object of a list and its version, or whose object could not be read.
pub type Item = Result<Object, Unreadable>;

/// Reads a page and hands each item to `each`.
/// A page without `items` or without a version is refused: taken for an empty list, it would sweep the whole World.
pub struct PageReader<'a> {
    scanner: Scanner,
    resource: Resource,
    each: &'a mut dyn FnMut(Item),
}

impl<'a> PageReader<'a> {
    pub fn new(resource: Resource, keys: &AnnotationKeys, each: &'a mut dyn FnMut(Item)) -> Self {
        Self { scanner: Scanner::new(ObjectScope::Page, &wanted(resource, keys)), resource, each }
    }

    /// Takes in a piece of the body. The error says why it is no list.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), String> {
        loop {
            match self.scanner.push(piece)? {
                Progress::Item(end) => {
                    let record = self.scanner.take();
                    let item = read(&record, self.resource).map(|(object, _): (Object, ResourceVersion)| object);
                    (self.each)(item.map_err(|why| record.unreadable(self.resource, &why)));
                    piece = &piece[end..];
                }
                Progress::Whole(end) if end < piece.len() => piece = &piece[end..],
                Progress::Whole(_) => return Ok(()),
                Progress::More => return self.give_up_if_endless(),
            }
        }
    }

    /// After the last piece.
    pub fn finish(mut self) -> Result<ListPage, String> {
        if !self.scanner.is_whole() {
            return Err("it ends too early".to_owned());
        }
        if !self.scanner.has_items() {
            return Err("it has no `items`".to_owned());
        }
        let record = self.scanner.record();
        let version = record.required(Field::PageVersion)?;
        let continuation = Some(record.text(Field::Continuation)?).filter(|token| !token.is_empty());
        Ok(ListPage { version, continuation })
    }

    fn give_up_if_endless(&mut self) -> Result<(), String> {
        let record = self.scanner.record();
        if record.bytes <= ENDLESS {
            return Ok(());
        }
        (self.each)(Err(record.unreadable(self.resource, NO_END)));
        Err(NO_END.to_owned())
    }
}

/// From here on what doesn't end is taken for something that never will.
pub(super) const ENDLESS: u64 = 4 * super::record::LONGEST_OBJECT;
pub(super) const NO_END: &str = "an object doesn't end";

#[cfg(test)]
mod tests;
