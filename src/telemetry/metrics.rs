//! All metrics: first those of the original kube2iam, under its names, then the new ones.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};

use super::AnsweredRequest;
use super::container::ContainerMetrics;
use super::operator::OperatorMetrics;
use super::process::ProcessMetrics;
use super::redirect::RedirectMetrics;
use super::sessions::SessionMetrics;
use crate::config::Build;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::operator::process::Usage;
use crate::logic::sessions::cache::CacheCounts;

/// The metrics of the agent.
pub struct Metrics {
    registry: Registry,
    request_seconds: HistogramVec,
    known: KnownRequests,
    pub sessions: SessionMetrics,
    pub duplicate_lookups: IntCounter,
    pub duplicate_lookups_resolved: IntCounter,
    pub pod_not_in_cache: IntCounter,
    pub healthcheck_status: Gauge,
    /// The result of `/readyz`: 1 or 0
    pub ready: Gauge,
    pub refusals: IntCounterVec,
    pub tokenless_requests: IntCounterVec,
    pub log_lines_dropped: IntCounter,
    pub listen: IntCounterVec,
    pub watch_events: IntCounterVec,
    /// Objects of the API server that could not be read
    pub unreadable: IntCounterVec,
    watch_age_seconds: GaugeVec,
    connections: Gauge,
    counters: OnceLock<Vec<ConnectionCounter>>,
    pub redirect: RedirectMetrics,
    process: ProcessMetrics,
    usage: OnceLock<UsageSource>,
    pub operator: OperatorMetrics,
    pub container: ContainerMetrics,
}

/// Returns the number of open connections of a server.
pub type ConnectionCounter = Box<dyn Fn() -> usize + Send + Sync>;

/// Returns the process's current resource usage.
type UsageSource = Box<dyn Fn() -> Usage + Send + Sync>;

/// Cached histograms of the most frequent label values, to avoid a lookup per request.
#[derive(Default)]
struct KnownRequests {
    list: OnceLock<Histogram>,
    document: OnceLock<Histogram>,
    proxied: OnceLock<Histogram>,
    token: OnceLock<Histogram>,
}

impl Metrics {
    /// Registers all metrics, for the agent of `node`. Fails only if two metrics have the same name.
    pub fn new(build: &Build, node: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let labels = ["version", "build_date", "commit_hash", "node"];
        let info = gauges(r, "info", "Version, build date and commit of the agent, and its node; always 1.", &labels)?;
        info.with_label_values(&[build.version, build.date, build.commit, node]).set(1.0);
        Ok(Self {
            request_seconds: histograms(
                r,
                "http_request_duration_seconds",
                "Time taken to answer HTTP requests, by status, method and handler.",
                &["code", "method", "handler"],
            )?,
            known: KnownRequests::default(),
            sessions: SessionMetrics::new(r)?,
            duplicate_lookups: counter(
                r,
                "iam_k8s_dup_req_count",
                "Live lists of pods at an address that several pods claim (--resolve-duplicate-cache-ips).",
            )?,
            duplicate_lookups_resolved: counter(
                r,
                "iam_k8s_dup_req_success_count",
                "Live lists that found the one holder of the address.",
            )?,
            pod_not_in_cache: counter(r, "iam_k8s_pod_not_in_pod_cache", "Requests from addresses of no known pod.")?,
            healthcheck_status: gauge(r, "healthcheck_status", HEALTHCHECK)?,
            ready: gauge(r, "ready", "Whether the agent is ready to give credentials (1 or 0), as /readyz says.")?,
            refusals: counters(r, "refusals_total", "Refused requests, by reason code.", &["reason"])?,
            tokenless_requests: counters(
                r,
                "tokenless_requests_total",
                "Metadata requests of pods without a session token.",
                &["namespace"],
            )?,
            log_lines_dropped: counter(r, "log_lines_dropped_total", LOG_LINES_DROPPED)?,
            listen: counters(r, "connections_total", CONNECTIONS, &["event"])?,
            watch_events: counters(r, "watch_events_total", WATCH_EVENTS, &["resource", "event"])?,
            unreadable: counters(
                r,
                "watch_unreadable_total",
                "Objects of the API server that could not be read, and whose known state was forgotten.",
                &["resource"],
            )?,
            watch_age_seconds: gauges(
                r,
                "watch_age_seconds",
                "Age of what is known of a resource: time since its last complete list, line or bookmark.",
                &["resource"],
            )?,
            connections: gauge(r, "connections", "Open connections of all listeners.")?,
            counters: OnceLock::new(),
            redirect: RedirectMetrics::register(r)?,
            process: ProcessMetrics::register(r)?,
            usage: OnceLock::new(),
            operator: OperatorMetrics::register(r)?,
            container: ContainerMetrics::register(r)?,
            registry,
        })
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    pub(super) fn answered(&self, answered: &AnsweredRequest<'_>) {
        let method = answered.method.label();
        let lookup =
            || self.request_seconds.with_label_values(&[&answered.status.to_string(), method, answered.handler]);
        let known = match (answered.status, method, answered.handler) {
            (200, "GET", "securityCredentialsHandler") => Some(&self.known.list),
            (200, "GET", "roleHandler") => Some(&self.known.document),
            (200, "GET", "reverseProxyHandler") => Some(&self.known.proxied),
            (200, "PUT", "tokenHandler") => Some(&self.known.token),
            _ => None,
        };
        match known {
            Some(known) => known.get_or_init(lookup).observe(answered.took.as_secs_f64()),
            None => lookup().observe(answered.took.as_secs_f64()),
        }
        if let Some(reason) = answered.reason {
            self.refusals.with_label_values(&[reason.word()]).inc();
        }
        if let (Some(reason), Some(pod)) = (answered.audited, answered.pod) {
            self.operator.audited.with_label_values(&[&*pod.namespace, reason.word()]).inc();
        }
    }

    /// Sets the functions that return open connections.
    pub fn count_connections(&self, counters: Vec<ConnectionCounter>) {
        let _ = self.counters.set(counters); // set once, at start
    }

    /// Sets the function that returns resource usage, called on each scrape.
    pub fn count_usage(&self, usage: Box<dyn Fn() -> Usage + Send + Sync>) {
        let _ = self.usage.set(usage); // set once, at start
    }

    /// The number of open connections of all servers.
    pub fn open_connections(&self) -> usize {
        self.counters.get().into_iter().flatten().map(|counters| counters()).sum()
    }

    /// Updates the metrics that are sampled on each scrape.
    pub fn sample(&self, counts: &CacheCounts, ages: &[(Resource, Duration)]) {
        for (resource, age) in ages {
            self.unreadable.with_label_values(&[&resource.to_string()]);
            self.watch_age_seconds.with_label_values(&[&resource.to_string()]).set(age.as_secs_f64());
        }
        self.connections.set(f64::from(u32::try_from(self.open_connections()).unwrap_or(u32::MAX)));
        self.sessions.sample(counts);
        if let Some(usage) = self.usage.get() {
            self.process.sample(&usage());
        }
    }

    /// Drops metrics of deleted namespaces.
    pub fn retain_namespaces(&self, is_known: impl Fn(&str) -> bool) {
        for family in self.tokenless_requests.collect() {
            for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
                if !is_known(label.value()) {
                    let _ = self.tokenless_requests.remove_label_values(&[label.value()]); // removed already
                }
            }
        }
        self.operator.retain_namespaces(is_known);
    }
}

pub(super) fn add<C: Collector + 'static>(registry: &Registry, collector: C) -> prometheus::Result<()> {
    #[cfg(test)]
    super::metrics_page::note(&collector);
    registry.register(Box::new(collector))
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::with_opts(Opts::new(name, help).namespace(NAMESPACE))?;
    add(registry, counter.clone())?;
    Ok(counter)
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), labels)?;
    add(registry, counters.clone())?;
    Ok(counters)
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    let gauge = Gauge::with_opts(Opts::new(name, help).namespace(NAMESPACE))?;
    add(registry, gauge.clone())?;
    Ok(gauge)
}

pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    let gauges = GaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), labels)?;
    add(registry, gauges.clone())?;
    Ok(gauges)
}

/// kube2iam's 14 buckets, from 1 ms, each twice the previous one.
pub(super) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(exponential_buckets(0.001, 2.0, 14)?);
    let histograms = HistogramVec::new(options, labels)?;
    add(registry, histograms.clone())?;
    Ok(histograms)
}

const NAMESPACE: &str = "kube2iam";

const HEALTHCHECK: &str = "Whether the EC2 metadata service answered the last health check (1 or 0).";
const LOG_LINES_DROPPED: &str = "Log lines about requests that were dropped because the log was read too slowly.";
const CONNECTIONS: &str = "Connections: accepted, refused at a limit, evicted for another, cut while answering, \
    panicked, accept_failed; and bad requests by what was wrong with them.";
const WATCH_EVENTS: &str =
    "Events of the watches by resource: heard (a change), listed, relisted, ended, refused (failed, retried later).";

#[cfg(test)]
mod tests;
