//! Reads a page of a list as it arrives. Its time is bounded, its length isn't: after a page that timed out, fewer
//! items are requested.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use ureq::Body;
use ureq::http::Response;

use super::{refused, unavailable};
use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Item, KubernetesFailure, ListPage, PageReader, Resource, one_line,
};

/// Reads the body to its end, so that the connection can be reused.
pub(super) fn read(
    response: Response<Body>,
    resource: Resource,
    keys: &AnnotationKeys,
    each: &mut dyn FnMut(Item),
) -> Result<ListPage, IncompletePage> {
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut page = PageReader::new(resource, keys, each);
    let mut piece = vec![0; READ_BYTES];
    let no_list = |why: String| IncompletePage {
        failure: refused(one_line(&format!("the response is not a list: {why}"))),
        timed_out: false,
    };
    loop {
        match body.read(&mut piece) {
            Ok(0) => return page.finish().map_err(no_list),
            Ok(read) => page.push(&piece[..read]).map_err(no_list)?,
            Err(error) => {
                let failure = unavailable(one_line(&error.to_string()));
                return Err(IncompletePage { failure, timed_out: is_timeout(&error) });
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
        || matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// An incomplete page.
pub(super) struct IncompletePage {
    failure: KubernetesFailure,
    timed_out: bool,
}

impl From<IncompletePage> for KubernetesFailure {
    fn from(incomplete: IncompletePage) -> Self {
        incomplete.failure
    }
}

/// The number of items to request per page, for each resource.
#[derive(Default)]
pub(super) struct PageItems([AtomicUsize; 3]);

impl PageItems {
    pub(super) fn of(&self, resource: Resource) -> &'static str {
        let step = self.0[resource as usize].load(Ordering::Relaxed);
        PAGE_ITEMS.get(step).copied().unwrap_or(MIN_ITEMS)
    }

    /// Requests fewer items after a page that timed out, until a list is complete.
    pub(super) fn learn(&self, resource: Resource, read: &Result<ListPage, IncompletePage>) {
        let step = &self.0[resource as usize];
        match read {
            Ok(page) if page.continuation.is_none() => step.store(0, Ordering::Relaxed),
            Err(incomplete) if incomplete.timed_out => {
                let fewer = (step.load(Ordering::Relaxed) + 1).min(PAGE_ITEMS.len());
                step.store(fewer, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// client-go's page size, and the size after a page that timed out.
const PAGE_ITEMS: [&str; 2] = ["500", "50"];
const MIN_ITEMS: &str = "5";
const READ_BYTES: usize = 16 * 1024;
