//! An agent on the stage: the real rooms with the real threads of the daemon, behind simulated ports.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube2iam::for_tests::{
    AgentState, Command, Config, KeyStore, Latch, OwnRoles, Ports, Waited, agent_threads, entitled, parse_command_line,
};

use crate::api::Api;
use crate::aws::{SimCredentials, SimImds, SimSts};
use crate::by_token::SimIssuer;
use crate::plants::Plant;
use crate::secrets;
use crate::sim::Sim;
use crate::time::{NodeStore, SimDice, SimTime};
use crate::truth::{BASE, Feed};

pub struct Agent {
    pub number: usize,
    pub state: Arc<AgentState>,
    closed: AtomicBool,
}

impl Agent {
    /// Starts an agent on the node; the one before it may still be there.
    pub fn start(sim: &Arc<Sim>, store: &Arc<NodeStore>) -> Arc<Self> {
        let number = sim.agents.lock().len();
        {
            let mut truth = sim.truth.lock();
            let version = truth.cluster.version;
            (0..2).for_each(|resource| drop(truth.feeds.insert((number, resource), Feed::new(version))));
        }
        let time = Arc::new(SimTime(sim.clone()));
        let latch = Arc::new(Latch::new(time.clone()));
        let imds = Arc::new(SimImds { sim: sim.clone(), agent: number });
        let lost = sim.has(Plant::KeysAreLost);
        let key_store: Arc<dyn KeyStore> = if lost { Arc::new(NodeStore::default()) } else { store.clone() };
        let ports = Ports {
            time,
            random: Arc::new(SimDice(sim.clone())),
            kubernetes: Arc::new(Api::new(sim.clone(), number)),
            nodes: None,
            events: None,
            key_store: Some(key_store),
            issuer_discovery: Some(Arc::new(SimIssuer(sim.clone()))),
            issuer_store: None,
            proxied: imds.clone(),
            imds,
            sts: Arc::new(SimSts { sim: sim.clone(), agent: number }),
            node_credentials: Arc::new(SimCredentials),
        };
        let state = AgentState::new(&config(sim), ports, latch, Box::new(secrets::hear)).unwrap();
        let agent = Arc::new(Self { number, state: state.clone(), closed: AtomicBool::new(false) });
        sim.agents.lock().push(agent.clone());
        sim.stage.note(&format!("agent {number} starts"));
        // The agent's housekeeping gives memory back to the system as well, which takes real time.
        for (name, work) in agent_threads().into_iter().filter(|(name, _)| *name != "housekeeping") {
            let state = state.clone();
            sim.stage.enter(name, move || work(&state));
        }
        sim.stage.enter("housekeeping", move || housekeeping(&state));
        agent
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends an agent as the daemon does, or in no order at all.
    pub fn end(&self, sim: &Sim) {
        self.closed.store(true, Ordering::SeqCst);
        sim.stage.note(&format!("agent {} ends", self.number));
        self.state.facts.shutting_down.store(true, Ordering::SeqCst);
        let steps: [&dyn Fn(); 6] = [
            &|| self.state.latch.close(),
            &|| self.state.drained.close(),
            &|| self.state.kubernetes.shut_down(),
            &|| self.state.sessions.close(),
            &|| self.state.world.close(),
            &|| self.state.issuer_keys.iter().for_each(|keys| keys.close()),
        ];
        let mut order = if sim.swarm.by_token { vec![0, 1, 2, 3, 4, 5] } else { vec![0, 1, 2, 3, 4] };
        sim.shuffle(&mut order);
        order.into_iter().for_each(|step| steps[step]());
    }

    /// Whether nothing but the pod's own affairs keeps a pod from its credentials.
    pub fn knows_all(&self) -> bool {
        let knows_keys = self.state.issuer_keys.as_ref().is_none_or(|keys| keys.known().issuer.is_some());
        self.state.world.read(|world, rules| {
            knows_keys && world.is_ready() && rules.is_some_and(|rules| matches!(rules.own_roles, OwnRoles::Found(_)))
        })
    }
}

/// The agent's flags.
fn config(sim: &Sim) -> Config {
    let swarm = &sim.swarm;
    let base = format!("--base-role-arn={BASE}");
    let qps = format!("--sts-qps={}", swarm.calls_per_second);
    let words = [
        ("--api-server=http://127.0.0.1:1", true),
        ("--api-token=x", true),
        ("--node=n1", true),
        (&base, true),
        (&qps, true),
        ("--namespace-restrictions", swarm.restricted),
        ("--session-tags", swarm.tagged),
        ("--iam-role-error-ttl=0s", swarm.forgetful),
        ("--resolve-duplicate-cache-ips", swarm.live_lists),
        ("--container-credentials", swarm.by_token),
        ("--sts=web-identity", swarm.by_token && !sim.has(Plant::NodeSigns)),
    ];
    let words = words.into_iter().filter(|(_, is_set)| *is_set).map(|(word, _)| word.to_owned());
    match parse_command_line(words, &|_| None) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// As the agent's housekeeping does.
fn housekeeping(state: &AgentState) {
    let mut pause = Duration::from_secs(2);
    while state.latch.wait(state.clock.now().mono.after(pause)) == Waited::Elapsed {
        pause = Duration::from_secs(20);
        let entitled: Option<HashSet<_>> = state.world.read(|world, rules| {
            let rules = rules.filter(|_| world.is_ready())?;
            let pods = world.pods().filter(|pod| world.can_have_role(pod));
            Some(pods.filter_map(|pod| entitled(world, rules, pod)).collect())
        });
        if let Some(entitled) = entitled {
            state.sessions.sweep(&entitled);
        }
        if state.keys.is_rotation_due() {
            let _ = state.random.secret().map(|secret| state.keys.rotate(&secret));
        }
    }
}
