//! A page of a list, read while it comes. Its time is bounded, its length isn't.

use std::io::Read;

use ureq::Body;
use ureq::http::Response;

use super::{refused, unavailable};
use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Item, KubernetesFailure, Page, PageReader, Resource, one_line,
};

/// Reads the whole body, so that its connection can be used again.
pub(super) fn read(
    response: Response<Body>,
    resource: Resource,
    keys: &AnnotationKeys,
    each: &mut dyn FnMut(Item),
) -> Result<Page, KubernetesFailure> {
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut page = PageReader::new(resource, keys, each);
    let mut piece = vec![0; READ_BYTES];
    let no_list = |why: String| refused(one_line(&format!("the answer is no list: {why}")));
    loop {
        match body.read(&mut piece) {
            Ok(0) => return page.finish().map_err(no_list),
            Ok(read) => page.push(&piece[..read]).map_err(no_list)?,
            Err(error) => return Err(unavailable(one_line(&error.to_string()))),
        }
    }
}

const READ_BYTES: usize = 16 * 1024;
