//! A session in the cache.

use std::fmt;
use std::sync::Arc;

use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::credentials::{Credentials, RenderedCredentials};
use crate::logic::sts::{AssumeRole, Assumed};

/// A session with its most requested document, rendered once.
pub struct Session {
    pub document: Arc<RenderedCredentials>,
    /// Source of the other documents
    credentials: Credentials,
    role: RoleArn,
    updated: Wall,
    /// Expiry by the monotonic clock
    pub ends: Mono,
    /// Expiry as AWS dates it, for display
    pub expires: Option<Wall>,
}

impl Session {
    /// Renders the session that `request` got at `now`.
    pub fn render(request: &AssumeRole, assumed: &Assumed, now: Now) -> Self {
        let Assumed { credentials, life } = assumed;
        Self {
            document: Arc::new(credentials.render(now.wall)),
            credentials: Credentials {
                expiration: credentials.expiration.or(Some(now.wall.after(*life))),
                ..credentials.clone()
            },
            role: request.role.clone(),
            updated: now.wall,
            ends: now.mono.after(*life),
            expires: credentials.expiration,
        }
    }

    /// The document with the role's account.
    pub fn extended(&self) -> RenderedCredentials {
        self.credentials.render_extended(self.updated, self.role.account())
    }

    /// The document for container providers.
    pub fn container(&self) -> RenderedCredentials {
        self.credentials.render_container(&self.role)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ends", &self.ends).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
