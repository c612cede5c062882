//! Caches the credentials of a source, and renews them in time.

use std::sync::Arc;
use std::time::Duration;

use super::{CredentialSource, Fetched, NodeCredentials, none};
use crate::logic::base::time::Wall;
use crate::logic::policy::OwnRole;
use crate::logic::sessions::credentials::{Credentials, lease_for, lease_until};
use crate::logic::sts::StsFailure;
use crate::os::single_flight::{Missed, SingleFlight};
use crate::ports::Clock;

/// A cached source, fetched by one caller at a time.
pub(super) struct Renewed {
    source: Box<dyn CredentialSource>,
    kept: SingleFlight<Arc<Credentials>, StsFailure>,
    clock: Arc<dyn Clock>,
}

impl Renewed {
    pub(super) fn new(source: Box<dyn CredentialSource>, clock: Arc<dyn Clock>) -> Self {
        Self { source, kept: SingleFlight::new(Arc::clone(&clock)), clock }
    }
}

impl NodeCredentials for Renewed {
    fn current(&self, timeout: Duration) -> Result<Arc<Credentials>, StsFailure> {
        let fetch = || {
            let Fetched { credentials, life } = self.source.fetch(timeout)?;
            let (now, expiration) = (self.clock.now(), credentials.expiration);
            let credentials = Arc::new(credentials);
            Ok(match life {
                Some(life) => lease_for(credentials, life, now.mono),
                None => lease_until(credentials, expiration, now),
            })
        };
        self.kept.get(timeout, fetch).map_err(|missed| match missed {
            Missed::Failed(failure) => failure,
            Missed::TimedOut => none("Timeout", format!("failed to fetch `{}`: no answer in time", self.describe())),
        })
    }

    fn reload(&self, refused: &Credentials) {
        self.kept.discard(|held| **held == *refused);
    }

    fn expiration(&self) -> Option<Wall> {
        self.kept.held()?.expiration
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn first(&self) -> Option<Arc<dyn NodeCredentials>> {
        self.source.first()
    }

    fn role(&self) -> Option<OwnRole> {
        self.source.role()
    }
}
