//! Process metrics under the standard names of Prometheus's client libraries, without a namespace prefix
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, Registry};

use super::metrics::add;
use crate::logic::operator::process::Usage;

/// Process metrics.
pub(super) struct ProcessMetrics {
    processor_seconds: Counter,
    started: Gauge,
    virtual_bytes: Gauge,
    resident_bytes: Gauge,
    threads: Gauge,
    descriptors: Gauge,
    most_descriptors: Gauge,
}

impl ProcessMetrics {
    pub(super) fn register(r: &Registry) -> prometheus::Result<Self> {
        let processor = Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?;
        Ok(Self {
            processor_seconds: kept(r, processor)?,
            started: gauge(r, "start_time_seconds", "Start time of the process since unix epoch in seconds.")?,
            virtual_bytes: gauge(r, "virtual_memory_bytes", "Virtual memory size in bytes.")?,
            resident_bytes: gauge(r, "resident_memory_bytes", "Resident memory size in bytes.")?,
            threads: gauge(r, "threads", "Number of OS threads in the process.")?,
            descriptors: gauge(r, "open_fds", "Number of open file descriptors.")?,
            most_descriptors: gauge(r, "max_fds", "Maximum number of open file descriptors.")?,
        })
    }

    /// Sets the metrics from the kernel's counters.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
    pub(super) fn sample(&self, usage: &Usage) {
        let more = usage.processor.as_secs_f64() - self.processor_seconds.get();
        self.processor_seconds.inc_by(more.max(0.0));
        self.started.set(usage.started_s);
        self.virtual_bytes.set(usage.virtual_bytes as f64);
        self.resident_bytes.set(usage.resident_bytes as f64);
        self.threads.set(usage.threads as f64);
        self.descriptors.set(usage.descriptors as f64);
        self.most_descriptors.set(usage.most_descriptors.map_or(f64::INFINITY, |most| most as f64));
    }
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    kept(registry, Gauge::new(format!("process_{name}"), help)?)
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    add(registry, collector.clone())?;
    Ok(collector)
}
