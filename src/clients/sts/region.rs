//! The region for signing calls: from a variable, or read from the metadata service once.

use std::sync::Arc;

use crate::clients::imds::discovery;
use crate::logic::base::refreshing::Lease;
use crate::logic::request::upstream::ImdsFailure;
use crate::logic::sts::{StsFailure, StsFailureKind};
use crate::os::single_flight::{Missed, SingleFlight};
use crate::ports::{Clock, Imds};

/// The source of the region.
pub enum RegionSource {
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`
    Given(String),
    /// The instance's own
    Discovered { imds: Arc<dyn Imds>, found: SingleFlight<String, ImdsFailure> },
}

impl RegionSource {
    /// Uses the given region, or else the instance's.
    pub fn new(given: Option<String>, imds: Arc<dyn Imds>, clock: Arc<dyn Clock>) -> Self {
        match given {
            Some(region) => Self::Given(region),
            None => Self::Discovered { imds, found: SingleFlight::new(clock) },
        }
    }

    /// The region. Reads it from the metadata service until a read has succeeded.
    pub fn region(&self) -> Result<String, StsFailure> {
        match self {
            Self::Given(region) => Ok(region.clone()),
            Self::Discovered { imds, found } => found
                .get(discovery::DISCOVERY_TIMEOUT, || {
                    let value = discovery::region(imds.as_ref())?;
                    Ok(Lease { value, renew_from: None, end: None })
                })
                .map_err(|missed| unknown(&missed)),
        }
    }
}

fn unknown(missed: &Missed<ImdsFailure>) -> StsFailure {
    let cause = match missed {
        Missed::Failed(failure) => failure.cause.as_str(),
        Missed::TimedOut => "the metadata service has not answered yet",
    };
    let message = format!("no region is known: AWS_REGION is not set, and {cause}");
    StsFailure { kind: StsFailureKind::NoRegion, code: "NoRegion".to_owned(), message, request_id: None }
}
