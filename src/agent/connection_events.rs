//! Counts what becomes of connections, and logs what happens to them before a request exists.

use std::net::IpAddr;
use std::sync::Arc;

use log::{debug, warn};
use parking_lot::Mutex;

use crate::logic::sessions::budget::{Buckets, Rate};
use crate::ports::Clock;
use crate::server::{Event, Observer};
use crate::telemetry::Telemetry;

pub(super) struct ConnectionEvents {
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    /// Warnings that each peer may still cause
    warnings: Mutex<Buckets<IpAddr>>,
}

impl ConnectionEvents {
    /// Shows what should never happen as 0 before it does, so that an alert has something to look at.
    pub(super) fn new(telemetry: Arc<Telemetry>, clock: Arc<dyn Clock>) -> Self {
        for label in ["accepted", "refused", "evicted", "panicked", "cut", "accept_failed"] {
            telemetry.metrics.door.with_label_values(&[label]);
        }
        Self { telemetry, clock, warnings: Mutex::new(Buckets::new(WARNINGS)) }
    }

    fn may_warn(&self, peer: IpAddr) -> bool {
        self.warnings.lock().take(peer, self.clock.now().mono)
    }
}

impl Observer for ConnectionEvents {
    fn saw(&self, event: &Event) {
        self.telemetry.at_the_door(label(event));
        match event {
            Event::Refused { peer, why } if self.may_warn(*peer) => {
                warn!("peer" = peer.to_string(), "why" = why.label(); "connection refused; more of this peer are counted, and logged once a minute");
            }
            Event::Refused { peer, why } => {
                debug!("peer" = peer.to_string(), "why" = why.label(); "connection refused")
            }
            Event::BadHead { peer, bad } => debug!("peer" = peer.to_string(), "why" = bad.label(); "request refused"),
            Event::Evicted { peer } => debug!("peer" = peer.to_string(); "idle connection closed for another"),
            Event::Cut { peer, why } => debug!("peer" = peer.to_string(), "why" = why.label(); "answer cut"),
            Event::Accepted { .. } | Event::Panicked { .. } | Event::AcceptFailed { .. } => {}
        }
    }
}

fn label(event: &Event) -> &'static str {
    match event {
        Event::Accepted { .. } => "accepted",
        Event::Refused { .. } => "refused",
        Event::Evicted { .. } => "evicted",
        Event::BadHead { bad, .. } => bad.label(),
        Event::Panicked { .. } => "panicked",
        Event::Cut { .. } => "cut",
        Event::AcceptFailed { .. } => "accept_failed",
    }
}

/// One a minute.
const WARNINGS: Rate = Rate { burst: 1.0, refill: 1.0 / 60.0 };
