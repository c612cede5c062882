//! Checks of the API server: whether it is reachable and allows the agent to list and watch.

use std::time::Duration;

use super::{Checks, DoctorContext, container};
use crate::agent::wiring;
use crate::cli::operator::Failure;
use crate::clients::kubernetes::{ApiServer, CallLimits, WriteMode};
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind, Resource};
use crate::logic::operator::doctor::{Finding, Mark, of_kubernetes};
use crate::logic::operator::events::Notice;
use crate::ports::{Kubernetes, Nodes};

pub(super) fn check(context: &DoctorContext, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let config = &context.config.kubernetes;
    let server = match wiring::api_server(config, &context.environment, &context.clock, LIMITS) {
        Ok(server) => server,
        Err(error) => return checks.check("API server", || Finding::fail(error.to_string())),
    };
    let mut first = None;
    checks.check("API server", || {
        let tried = server.try_list(Resource::Pods);
        let finding = reached(&server, &tried);
        first = Some(tried);
        finding
    })?;
    let Some(first) = first.filter(is_answer) else { return Ok(()) };
    let mut tried = Some(first);
    for resource in context.config.watched() {
        let mut version = None;
        checks.check(&format!("list {resource}"), || {
            match tried.take().unwrap_or_else(|| server.try_list(resource)) {
                Ok(listed) => {
                    version = Some(listed);
                    Finding::ok("allowed")
                }
                Err(failure) => of_kubernetes("list", &resource.to_string(), &failure),
            }
        })?;
        checks.check(&format!("watch {resource}"), || {
            allowed(server.try_watch(resource, version.as_deref()), "watch", &resource.to_string())
        })?;
    }
    if context.config.operation.events {
        let trial = Notice::trial();
        // An agent that can't write Events still serves credentials.
        let tried = |outcome, verb| no_worse_than_a_warning(allowed(outcome, verb, "events"));
        checks.check("write events", || tried(server.write_event(&trial, WriteMode::Tried), "create"))?;
        checks.check("update events", || tried(server.try_change(&trial), "patch"))?;
    }
    if context.config.listen.container_credentials {
        container::check(context, &server, checks)?;
    }
    match (&context.config.operation.remove_taint, &context.config.kubernetes.node) {
        (Some(_), Some(node)) => examine_node(&server, node, checks),
        _ => Ok(()),
    }
}

/// The permissions for `--remove-taint`: while the taint stays, no pod is scheduled on this node.
fn examine_node(server: &ApiServer, node: &str, checks: &mut Checks<'_>) -> Result<(), Failure> {
    checks.check("get node", || allowed(server.taints(node), "get", "nodes"))?;
    checks.check("patch node", || allowed(server.try_patch(node), "patch", "nodes"))
}

fn allowed<T>(outcome: Result<T, KubernetesFailure>, verb: &str, resource: &str) -> Finding {
    match outcome {
        Ok(_) => Finding::ok("allowed"),
        Err(failure) => of_kubernetes(verb, resource, &failure),
    }
}

fn no_worse_than_a_warning(finding: Finding) -> Finding {
    Finding { mark: finding.mark.min(Mark::Warn), ..finding }
}

/// Whether the server responded, if only with a refusal.
fn is_answer(tried: &Result<String, KubernetesFailure>) -> bool {
    !matches!(tried, Err(KubernetesFailure { kind: KubernetesFailureKind::Unavailable { .. }, .. }))
}

fn reached(server: &ApiServer, tried: &Result<String, KubernetesFailure>) -> Finding {
    match tried {
        Err(failure) if failure.kind != KubernetesFailureKind::Forbidden => of_kubernetes("list", "pods", failure),
        _ => Finding::ok(format!("answers at {}", server.server())),
    }
}

/// Short, because a person waits for the result.
const LIMITS: CallLimits = CallLimits {
    connect: Duration::from_secs(3),
    send: Duration::from_secs(3),
    response_head: Duration::from_secs(5),
    list_body: Duration::from_secs(10),
    list_idle: Duration::from_secs(5),
    watch_idle: Duration::from_secs(5),
    watch_body: Duration::from_secs(10),
    live: Duration::from_secs(1),
};
