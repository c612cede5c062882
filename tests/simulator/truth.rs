//! What really is, beside what the agents think: the cluster, how far each agent has been told of it, every session
//! that STS gave. The judges read it; the agents never do.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use kube2iam::for_tests::AssumeRole;

use crate::cluster::{ACCOUNT, Cluster, Namespace, Pod, states};
use crate::swarm::Swarm;

#[derive(Default)]
pub struct Truth {
    pub cluster: Cluster,
    /// By agent and resource
    pub feeds: HashMap<(usize, usize), Feed>,
    /// By access key id
    pub mints: HashMap<String, Mint>,
    /// By agent: the calls to STS that are under way
    pub calls: HashMap<usize, Vec<AssumeRole>>,
    /// By agent: when calls began that no pod waited for
    pub unasked: HashMap<usize, Vec<u64>>,
    /// When calls ended, and for what
    pub finished: Vec<(usize, AssumeRole, u64)>,
    pub asking: Vec<Asking>,
    pub live_lists: usize,
    pub forwards: HashMap<(usize, IpAddr), usize>,
    pub answers: u64,
    pub sessions: u64,
}

/// A request under way
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    pub agent: usize,
    pub peer: IpAddr,
    /// The whole ARN; empty if it isn't about a role
    pub role: String,
}

/// A session that STS gave.
#[derive(Clone, Debug)]
pub struct Mint {
    pub request: AssumeRole,
    pub at: u64,
    /// When AWS will refuse it
    pub ends: u64,
}

/// How far a watcher of one resource has been told: of each thing its picture shows some state between two versions.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// The last version that was told
    pub told: u64,
    /// As far back as the picture may lie
    floors: Vec<(u64, u64)>,
    pub ceiling: u64,
    /// Something between was never told: the picture may be as old as this until it is listed anew.
    pub lost: Option<u64>,
    /// The version of a list that has been handed over to its end
    pub listed: Option<u64>,
    pub is_listed_once: bool,
    /// When the last line or bookmark was told, or the last list handed over to its end
    pub current_at: u64,
    /// When the API server last answered and refused
    pub refused_at: Option<u64>,
    /// What the agent could not read and had to forget, by uid or a namespace's name, and the step since which a list
    /// has told it again
    forgotten: Vec<(String, Option<u64>)>,
}

impl Feed {
    pub fn new(version: u64) -> Self {
        Self { floors: vec![(0, version)], ceiling: version, ..Self::default() }
    }

    pub fn floor(&self) -> u64 {
        self.floors.last().map_or(0, |(_, floor)| *floor)
    }

    pub fn set_floor(&mut self, step: u64, floor: u64) {
        let floor = self.lost.map_or(floor, |lost| floor.min(lost));
        if floor != self.floor() {
            self.floors.push((step, floor));
        }
    }

    /// The agent can't read what it is told of this.
    pub fn forget(&mut self, whom: &str) {
        self.forgotten.push((whom.to_owned(), None));
    }

    /// A list has told of everything.
    pub fn remember(&mut self, step: u64) {
        for (_, until) in &mut self.forgotten {
            until.get_or_insert(step);
        }
    }

    /// Whether credentials end: nothing new was told for longer than `--max-world-age`, and the API server refuses.
    fn is_too_old(&self, now: u64) -> bool {
        self.refused_at.is_some_and(|at| {
            let until = if now.saturating_sub(at) <= REFUSAL_COUNTS { now } else { at };
            until.saturating_sub(self.current_at) >= OLDEST_WORLD
        })
    }

    fn may_lack(&self, whom: &str, since_step: u64) -> bool {
        self.forgotten.iter().any(|(known, until)| known == whom && until.is_none_or(|until| until >= since_step))
    }

    /// The oldest version that the picture may have shown since `step`.
    fn lowest_since(&self, step: u64) -> u64 {
        let first = self.floors.iter().rposition(|(at, _)| *at <= step).unwrap_or(0);
        self.floors[first..].iter().map(|(_, floor)| *floor).min().unwrap_or(0)
    }
}

/// All that an agent may have taken for true during a request.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pods: (u64, u64),
    namespaces: (u64, u64),
    agent: usize,
    since_step: u64,
}

impl Window {
    /// Between which versions the picture of pods was
    pub fn pods(&self) -> (u64, u64) {
        self.pods
    }
}

/// What a pod may have, by the operator's and the namespace's word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    Session { role: String, external_id: Option<String>, uid_tag: Option<String> },
    Nothing,
}

impl Truth {
    pub fn window(&self, agent: usize, since_step: u64) -> Window {
        let [pods, namespaces] = [0, 1].map(|resource| {
            let feed = &self.feeds[&(agent, resource)];
            (feed.lowest_since(since_step), feed.ceiling)
        });
        Window { pods, namespaces, agent, since_step }
    }

    /// Whether an agent gives no credentials because what it knows is too old.
    pub fn is_too_old(&self, agent: usize, now: u64) -> bool {
        (0..2).any(|resource| self.feeds[&(agent, resource)].is_too_old(now))
    }

    /// Whether the agent may have had to forget a pod, because it couldn't read what it was told of it.
    pub fn may_lack_pod(&self, window: Window, uid: &str) -> bool {
        self.feeds[&(window.agent, 0)].may_lack(uid, window.since_step)
    }

    /// Who may have held `address` in the window, and what each may have had.
    pub fn claims(&self, swarm: &Swarm, window: Window, address: IpAddr) -> Vec<(&str, Due)> {
        let mut claims = Vec::new();
        for (uid, history) in &self.cluster.pods {
            let held = states(history, window.pods.0, window.pods.1).flatten().filter(|pod| pod.holds(address));
            for pod in held {
                claims.extend(self.dues(swarm, window, uid, pod).into_iter().map(|due| (uid.as_str(), due)));
            }
        }
        claims
    }

    /// The pod that held `address` all the time and alone, with all that it may have had.
    pub fn settled(&self, swarm: &Swarm, window: Window, address: IpAddr) -> Option<(String, BTreeSet<Due>)> {
        let mut holder = None;
        for (uid, history) in &self.cluster.pods {
            let shown: Vec<_> = states(history, window.pods.0, window.pods.1).collect();
            let held = shown.iter().filter(|pod| pod.is_some_and(|pod| pod.holds(address))).count();
            match (held, &holder) {
                (0, _) => {}
                (held, None) if held == shown.len() => holder = Some((uid, shown)),
                _ => return None,
            }
        }
        let (uid, shown) = holder?;
        let lacks_namespace = |name: &str| self.feeds[&(window.agent, 1)].may_lack(name, window.since_step);
        if self.may_lack_pod(window, uid) || shown.iter().flatten().any(|pod| lacks_namespace(&pod.namespace)) {
            return None;
        }
        let dues = shown.into_iter().flatten().flat_map(|pod| self.dues(swarm, window, uid, pod));
        Some((uid.clone(), dues.collect()))
    }

    /// What a pod may have had in the window, wherever it asked from.
    pub fn may_have(&self, swarm: &Swarm, window: Window, uid: &str) -> BTreeSet<Due> {
        let shown = self.cluster.pods.get(uid).into_iter();
        let shown = shown.flat_map(|history| states(history, window.pods.0, window.pods.1)).flatten();
        shown.filter(|pod| pod.runs()).flat_map(|pod| self.dues(swarm, window, uid, pod)).collect()
    }

    /// The same, if the agent knew of the pod all the time.
    pub fn settled_pod(&self, swarm: &Swarm, window: Window, uid: &str) -> Option<BTreeSet<Due>> {
        let history = self.cluster.pods.get(uid)?;
        let lacks_namespace = |name: &str| self.feeds[&(window.agent, 1)].may_lack(name, window.since_step);
        let mut shown = states(history, window.pods.0, window.pods.1);
        let stayed = shown.all(|pod| pod.is_some_and(|pod| pod.runs() && !lacks_namespace(&pod.namespace)));
        (stayed && !self.may_lack_pod(window, uid)).then(|| self.may_have(swarm, window, uid))
    }

    fn dues(&self, swarm: &Swarm, window: Window, uid: &str, pod: &Pod) -> BTreeSet<Due> {
        let none = Vec::new();
        let history = self.cluster.namespaces.get(&pod.namespace).unwrap_or(&none);
        let shown = states(history, window.namespaces.0, window.namespaces.1);
        shown.map(|namespace| due(swarm, uid, pod, namespace)).collect()
    }
}

/// The rules once more, in the fewest words: what a pod in a namespace may have.
pub fn due(swarm: &Swarm, uid: &str, pod: &Pod, namespace: Option<&Namespace>) -> Due {
    let namespace = namespace.filter(|namespace| !namespace.fat);
    let default = namespace.and_then(|namespace| namespace.default_role.as_ref());
    let role = pod.role.as_ref().or(default).filter(|role| !role.is_empty());
    let Some(role) = role.filter(|role| *role != OWN_ROLE || swarm.by_token) else { return Due::Nothing };
    let allowed = namespace.and_then(|namespace| namespace.allowed.as_ref()).is_some_and(|list| list.contains(role));
    let is_carried = !swarm.by_token || pod.external_id.is_none();
    if swarm.restricted && !allowed || !is_carried {
        return Due::Nothing;
    }
    Due::Session {
        role: arn(role),
        external_id: pod.external_id.clone(),
        uid_tag: swarm.tagged.then(|| uid.to_owned()),
    }
}

/// What a session that STS gave is good for.
pub fn given(request: &AssumeRole) -> Due {
    let tag = |name: &str| request.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert!(request.tags.is_empty() || tag("kubernetes-service-account").as_deref() == Some(ACCOUNT));
    Due::Session {
        role: request.role.as_str().to_owned(),
        external_id: request.external_id.clone(),
        uid_tag: tag("kubernetes-pod-uid"),
    }
}

pub fn arn(role: &str) -> String {
    format!("{BASE}{role}")
}

pub const BASE: &str = "arn:aws:iam::123456789012:role/";
/// The role under which the agent itself works
pub const OWN_ROLE: &str = "node";

/// The default of `--max-world-age`, less what a line may take on its way.
const OLDEST_WORLD: u64 = 299_000_000;
/// How long a refusal counts after the last.
const REFUSAL_COUNTS: u64 = 91_000_000;
