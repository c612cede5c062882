//! A page of a list, parsed while it is received: each object is passed on as soon as it is complete, so a page is
//! never held in memory. A malformed object is skipped to its end and passed on as unreadable.

use super::object::{read, wanted};
use super::scan::{Field, ObjectScope, Progress, Scanner};
use super::{AnnotationKeys, ListPage, Object, Resource, ResourceVersion, Unreadable};

/// An object of a list, or the identity of one that could not be parsed.
pub type Item = Result<Object, Unreadable>;

/// Parses a page and passes each item to `each`. A page without `items` or without a version is refused: treated as
/// an empty list, it would remove everything from the World.
pub struct PageReader<'a> {
    scanner: Scanner,
    resource: Resource,
    each: &'a mut dyn FnMut(Item),
}

impl<'a> PageReader<'a> {
    pub fn new(resource: Resource, keys: &AnnotationKeys, each: &'a mut dyn FnMut(Item)) -> Self {
        Self { scanner: Scanner::new(ObjectScope::Page, &wanted(resource, keys)), resource, each }
    }

    /// Processes a piece of the body. The error says why it isn't a list.
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
                Progress::More => return self.fail_if_endless(),
            }
        }
    }

    /// To be called after the last piece.
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

    fn fail_if_endless(&mut self) -> Result<(), String> {
        let record = self.scanner.record();
        if record.bytes <= ENDLESS {
            return Ok(());
        }
        (self.each)(Err(record.unreadable(self.resource, NO_END)));
        Err(NO_END.to_owned())
    }
}

/// Beyond this length an object is assumed never to end.
pub(super) const ENDLESS: u64 = 4 * super::record::LONGEST_OBJECT;
pub(super) const NO_END: &str = "an object doesn't end";

#[cfg(test)]
mod tests;
