//! Counts connection events, and logs those that happen before there is a request.

use std::net::IpAddr;
use std::sync::Arc;

use log::{debug, warn};
use parking_lot::Mutex;

use crate::logic::sessions::budget::{Buckets, Rate};
use crate::ports::Clock;
use crate::server::{ConnectionEvent, Observer};
use crate::telemetry::Telemetry;

pub(super) struct ConnectionEvents {
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    /// Budget of warnings per peer
    warnings: Mutex<Buckets<IpAddr>>,
}

impl ConnectionEvents {
    /// Initialises the counters to 0, so that alerts have a series to evaluate.
    pub(super) fn new(telemetry: Arc<Telemetry>, clock: Arc<dyn Clock>) -> Self {
        for label in ["accepted", "refused", "evicted", "panicked", "cut", "accept_failed"] {
            telemetry.metrics.listen.with_label_values(&[label]);
        }
        Self { telemetry, clock, warnings: Mutex::new(Buckets::new(WARNINGS)) }
    }

    fn may_warn(&self, peer: IpAddr) -> bool {
        self.warnings.lock().take(peer, self.clock.now().mono)
    }
}

impl Observer for ConnectionEvents {
    fn saw(&self, event: &ConnectionEvent) {
        self.telemetry.count_connection_event(label(event));
        match event {
            ConnectionEvent::Refused { peer, why } if self.may_warn(*peer) => {
                warn!("peer" = peer.to_string(), "why" = why.label(); "connection refused; further refusals of this peer are counted, and logged once a minute");
            }
            ConnectionEvent::Refused { peer, why } => {
                debug!("peer" = peer.to_string(), "why" = why.label(); "connection refused")
            }
            ConnectionEvent::BadHead { peer, bad } => {
                debug!("peer" = peer.to_string(), "why" = bad.label(); "request refused")
            }
            ConnectionEvent::Evicted { peer } => {
                debug!("peer" = peer.to_string(); "idle connection closed for another")
            }
            ConnectionEvent::Cut { peer, why } => {
                debug!("peer" = peer.to_string(), "why" = why.label(); "response cut")
            }
            ConnectionEvent::Accepted { .. }
            | ConnectionEvent::Panicked { .. }
            | ConnectionEvent::AcceptFailed { .. } => {}
        }
    }
}

fn label(event: &ConnectionEvent) -> &'static str {
    match event {
        ConnectionEvent::Accepted { .. } => "accepted",
        ConnectionEvent::Refused { .. } => "refused",
        ConnectionEvent::Evicted { .. } => "evicted",
        ConnectionEvent::BadHead { bad, .. } => bad.label(),
        ConnectionEvent::Panicked { .. } => "panicked",
        ConnectionEvent::Cut { .. } => "cut",
        ConnectionEvent::AcceptFailed { .. } => "accept_failed",
    }
}

/// One per minute.
const WARNINGS: Rate = Rate { burst: 1.0, refill: 1.0 / 60.0 };
