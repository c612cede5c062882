//! What a command brings about, as the pods see it: asked again and again until all is well, or as it will stay.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PODS, Pod};
use crate::command::Command;
use crate::page::{Mood, Page};
use crate::standins::agent::Agent;
use crate::standins::client;

/// What a pod gets at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Access {
    text: String,
    mood: Mood,
}

/// Carries a command out and shows how each pod fares.
pub fn bring_about(page: &Page, cluster: &Cluster, agent: &Agent, command: &Command) {
    let before = look(agent);
    let start = Instant::now();
    carry_out(cluster, command);
    let patience = match command {
        Command::StartSts => HEALING,
        _ => CHANGE,
    };
    let mut now = look(agent);
    while !is_settled(command, &before, &now) && start.elapsed() < patience {
        std::thread::sleep(PAUSE);
        now = look(agent);
    }
    let took_ms = start.elapsed().as_millis();
    for ((pod, before), now) in PODS.iter().zip(&before).zip(&now) {
        if before == now {
            page.effect(&pod.title(), &format!("as before: {}", now.text), now.mood);
        } else {
            page.effect(&pod.title(), &format!("was: {}", before.text), before.mood);
            page.effect("", &format!("now: {}, after {took_ms} ms", now.text), now.mood);
        }
    }
    page.line("");
}

fn carry_out(cluster: &Cluster, command: &Command) {
    let lab = &cluster.lab;
    match command {
        Command::AnnotatePod { pod, key, value } => {
            let Pod { namespace, name, .. } = PODS[*pod];
            lab.kubernetes.update_pod(namespace, name, |pod| pod.annotation(key, value));
        }
        Command::AnnotateNamespace { namespace, key, value } => {
            lab.kubernetes.add_namespace(namespace, &[(key, value)])
        }
        Command::StopSts if lab.sts.wire().is_listening() => lab.sts.wire().go_down(),
        Command::StartSts if !lab.sts.wire().is_listening() => lab.sts.wire().come_back(),
        Command::StopSts | Command::StartSts | Command::Quit => {}
    }
}

/// An outage of STS changes nothing for pods with credentials; when it ends, nobody is without for long.
fn is_settled(command: &Command, before: &[Access], now: &[Access]) -> bool {
    match command {
        Command::StopSts | Command::Quit => true,
        Command::StartSts => !now.iter().any(|access| access.text.contains("503")),
        Command::AnnotatePod { .. } | Command::AnnotateNamespace { .. } => before != now,
    }
}

fn look(agent: &Agent) -> Vec<Access> {
    PODS.iter().map(|pod| access(agent, pod)).collect()
}

fn access(agent: &Agent, pod: &Pod) -> Access {
    let list = client::get(agent.addr(), pod.address, LIST);
    if list.status != 200 {
        return Access { text: format!("{} {}", list.status, list.text().trim()), mood: Mood::Bad };
    }
    let role = list.text();
    let answer = client::get(agent.addr(), pod.address, &format!("{LIST}{role}"));
    if answer.status != 200 {
        return Access { text: format!("role {role}, {} {}", answer.status, answer.text().trim()), mood: Mood::Bad };
    }
    let key = answer.json()["AccessKeyId"].as_str().unwrap_or_default().to_owned();
    Access { text: format!("role {role}, key {key}"), mood: Mood::Good }
}

const LIST: &str = "/latest/meta-data/iam/security-credentials/";
const CHANGE: Duration = Duration::from_secs(2);
/// The agent looks for STS again after a growing pause.
const HEALING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
