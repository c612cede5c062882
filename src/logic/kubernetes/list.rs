//! A page of a list, read from a stream: each item is handed on as soon as it is whole, so that no page is ever held.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::object::object;
use super::{AnnotationKeys, Object, Page, Resource};

/// Reads a page and hands each item, or why it can't be read, to `each`.
/// A page without `items` or without a version is refused: taken for an empty list, it would sweep the whole picture.
pub struct ListSeed<'a> {
    pub resource: Resource,
    pub keys: &'a AnnotationKeys,
    pub each: &'a mut dyn FnMut(Result<Object, serde_json::Error>),
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.resource)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Page, A::Error> {
        let (mut metadata, mut unreadable) = (ListMetadataJson::default(), None);
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Metadata => metadata = map.next_value()?,
                Key::Items if unreadable.is_some() => return Err(A::Error::duplicate_field("items")),
                Key::Items => unreadable = Some(map.next_value_seed(Items(&mut self))?),
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let unreadable = unreadable.ok_or_else(|| A::Error::missing_field("items"))?;
        if metadata.resource_version.is_empty() {
            return Err(A::Error::missing_field("metadata.resourceVersion"));
        }
        let continuation = metadata.r#continue.filter(|token| !token.is_empty());
        Ok(Page { version: metadata.resource_version, continuation, unreadable })
    }
}

/// The items; the value is how many of them could not be read.
struct Items<'s, 'a>(&'s mut ListSeed<'a>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut unreadable = 0;
        while let Some(json) = items.next_element::<Box<RawValue>>()? {
            let item = object(json.get(), self.0.resource, self.0.keys).map(|(object, _)| object);
            unreadable += usize::from(item.is_err());
            (self.0.each)(item);
        }
        Ok(unreadable)
    }

    /// A Go server writes an empty list as `null` in some places.
    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Metadata,
    Items,
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadataJson {
    resource_version: String,
    r#continue: Option<String>,
}

#[cfg(test)]
mod tests;
