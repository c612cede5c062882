//! A session as it is served.

use std::fmt;
use std::sync::Arc;

use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::credentials::{Credentials, RenderedCredentials};
use crate::logic::sts::{AssumeRole, Assumed};

/// A session as it is served: what nearly all ask for is rendered once.
pub struct Session {
    pub document: Arc<RenderedCredentials>,
    /// What the other documents are rendered of
    credentials: Credentials,
    role: RoleArn,
    updated: Wall,
    /// When AWS will refuse it, by the clock that doesn't jump
    pub ends: Mono,
    /// The same as AWS dated it, for people
    pub expires: Option<Wall>,
}

impl Session {
    /// Renders what `request` gave at `now`.
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

    /// The document that container providers read.
    pub fn container(&self) -> RenderedCredentials {
        self.credentials.render_container(&self.role)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ends", &self.ends).finish_non_exhaustive()
    }
}
