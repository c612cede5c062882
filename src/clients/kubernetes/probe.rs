//! Tests whether the API server permits the agent's calls, with minimal requests.

use super::{ApiServer, CallKind, named, page};
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind, Resource, ResourceVersion};
use crate::ports::WatchLines;

use super::lines::WatchStream;

impl ApiServer {
    /// Lists one item, and returns the list's version.
    pub fn try_list(&self, resource: Resource) -> Result<ResourceVersion, KubernetesFailure> {
        let selector = self.selector(resource);
        let mut query = vec![("limit", "1")];
        query.extend(selector.as_deref().map(|selector| ("fieldSelector", selector)));
        self.get(&self.url(resource, &query), CallKind::List)
            .and_then(|response| Ok(page::read(response, resource, &self.keys, &mut |_| {})?))
            .map(|page| page.version)
            .map_err(|failure| named("list", resource, failure))
    }

    /// Watches for a second, from the version of a list. Without one, from version 1, which expired long ago: the API
    /// server rejects an unauthorized watch before it answers 410.
    pub fn try_watch(&self, resource: Resource, version: Option<&str>) -> Result<(), KubernetesFailure> {
        match self.watch_for_a_second(resource, version.unwrap_or(FIRST_VERSION)) {
            Err(failure) if version.is_none() && failure.kind == KubernetesFailureKind::Gone => Ok(()),
            watched => watched,
        }
    }

    fn watch_for_a_second(&self, resource: Resource, version: &str) -> Result<(), KubernetesFailure> {
        let selector = self.selector(resource);
        let mut query = vec![("watch", "1"), ("resourceVersion", version), ("timeoutSeconds", "1")];
        query.extend(selector.as_deref().map(|selector| ("fieldSelector", selector)));
        let response = self
            .get(&self.url(resource, &query), CallKind::Watch)
            .map_err(|failure| named("watch", resource, failure))?;
        let mut lines = WatchStream::new(response.into_body(), resource, &self.keys);
        for _ in 0..MAX_LINES {
            if lines.next_line()?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

const FIRST_VERSION: &str = "1";
/// Lines that a busy cluster sends in a second; a watch that sends more has proven that it works.
const MAX_LINES: usize = 1_000;
