//! Writes Kubernetes Events on refused pods.

use std::time::Duration;

use log::warn;

use crate::agent::state::AgentState;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::KubernetesFailureKind;
use crate::logic::operator::advice::Base;
use crate::logic::operator::events::{EventBook, RefusedPod};
use crate::ports::Events;

/// Writes Events until shutdown; nothing without `--events`.
pub(in crate::agent) fn write_events(agent: &AgentState) {
    let (Some(refusals), Some(events)) = (&agent.refusals, &agent.events) else { return };
    let config = &agent.config.kubernetes;
    let node = config.node.clone().unwrap_or_default();
    let book = EventBook::new(config.keys.clone(), node, agent.clock.now().mono);
    let mut writer = Writer { agent, events: &**events, book, silent_until: Mono::default() };
    while !agent.latch.is_closed() {
        if let Some(refused) = refusals.next(agent.clock.now().mono.after(LATCH_POLL)) {
            writer.take(&refused);
        }
    }
}

struct Writer<'a> {
    agent: &'a AgentState,
    events: &'a dyn Events,
    book: EventBook,
    /// No Events are written until then, after a failure.
    silent_until: Mono,
}

impl Writer<'_> {
    fn take(&mut self, refused: &RefusedPod) {
        let outcome = self.write(refused);
        self.agent.telemetry.metrics.operator.events.with_label_values(&[outcome]).inc();
    }

    /// Returns the outcome, for the metric.
    fn write(&mut self, refused: &RefusedPod) -> &'static str {
        let now = self.agent.clock.now();
        if now.mono < self.silent_until {
            return "held_back";
        }
        self.book.set_base(self.agent.world.read(|_, rules| Base::of(rules.map(|rules| &rules.base))));
        let Some(notice) = self.book.note(refused, now) else { return "counted" };
        let Err(failure) = self.events.write(&notice) else { return "written" };
        let hint = match failure.kind {
            KubernetesFailureKind::Forbidden => "; the agent may not: see the RBAC that --events needs",
            _ => "",
        };
        let server = self.agent.kubernetes.server();
        warn!("pod.namespace" = notice.namespace.as_str(), "server" = server; "{} (API server `{server}`){hint}", failure.cause);
        self.silent_until = now.mono.after(AFTER_FAILURE);
        "failed"
    }
}

/// Maximum delay before shutdown is noticed.
const LATCH_POLL: Duration = Duration::from_millis(250);
const AFTER_FAILURE: Duration = Duration::from_secs(60);
