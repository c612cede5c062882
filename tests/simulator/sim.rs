//! One run: what its actors share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube2iam::for_tests::Resource;
use parking_lot::Mutex;

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::manner::Fault;
use crate::plants::Plant;
use crate::random::Random;
use crate::signing::EcKey;
use crate::stage::Stage;
use crate::swarm::Swarm;
use crate::truth::{Feed, Truth};
use crate::{director, secrets};

pub struct Sim {
    pub stage: Arc<Stage>,
    /// Signs the pods' tokens
    pub issuer: EcKey,
    pub swarm: Swarm,
    /// The bug that was put in, if one was
    pub plant: Option<Plant>,
    pub truth: Mutex<Truth>,
    /// Decides which trouble strikes when
    random: Mutex<Random>,
    /// No more trouble
    pub quiet: AtomicBool,
    /// The pods ask no more.
    pub over: AtomicBool,
    /// Rings when the cluster changes
    pub changed: usize,
    pub agents: Mutex<Vec<Arc<Agent>>>,
}

/// What a run came to.
pub struct Outcome {
    pub faults: Vec<Fault>,
    pub steps: u64,
    pub answers: u64,
    /// Answers that were credentials
    pub sessions: u64,
    pub trail: Vec<String>,
    pub digest: u64,
    pub swarm: Swarm,
}

/// Plays one seed to its end.
pub fn run(seed: u64, plant: Option<Plant>) -> Outcome {
    let mut random = Random::new(seed);
    let swarm = Swarm::of(&mut random);
    play(random, swarm, plant)
}

/// The same seed where calls to STS bear the pods' tokens.
pub fn run_by_token(seed: u64, plant: Option<Plant>) -> Outcome {
    let mut random = Random::new(seed);
    let swarm = Swarm { by_token: true, tagged: false, ..Swarm::of(&mut random) };
    play(random, swarm, plant)
}

fn play(mut random: Random, mut swarm: Swarm, plant: Option<Plant>) -> Outcome {
    secrets::listen();
    if let Some(plant) = plant {
        plant.arrange(&mut swarm);
    }
    let stage = Stage::new(random.split(), swarm.manner);
    let changed = stage.new_bell();
    let sim = Arc::new(Sim {
        stage: stage.clone(),
        issuer: EcKey::new("key-1"),
        swarm,
        plant,
        truth: Mutex::default(),
        random: Mutex::new(random.split()),
        quiet: AtomicBool::new(false),
        over: AtomicBool::new(false),
        changed,
        agents: Mutex::default(),
    });
    let (directed, script) = (sim.clone(), random.split());
    stage.enter("director", move || director::direct(&directed, script));
    stage.play();
    let (trail, digest) = stage.trail();
    let truth = sim.truth.lock();
    let (answers, sessions) = (truth.answers, truth.sessions);
    drop(truth);
    Outcome { faults: stage.faults(), steps: stage.steps(), answers, sessions, trail, digest, swarm: sim.swarm.clone() }
}

impl Sim {
    /// Whether a trouble that this run knows strikes now, once in so many times.
    pub fn strikes(&self, known: impl Fn(&Swarm) -> bool, one_in: u64) -> bool {
        known(&self.swarm) && !self.is_quiet() && self.random.lock().one_in(one_in)
    }

    pub fn roll(&self, sides: u64) -> u64 {
        self.random.lock().roll(sides)
    }

    pub fn number(&self) -> u64 {
        self.random.lock().number()
    }

    pub fn shuffle<T>(&self, things: &mut [T]) {
        self.random.lock().shuffle(things);
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Changes the cluster and wakes who watches it.
    pub fn change(&self, what: &str, change: impl FnOnce(&mut Cluster, u64)) {
        let now = self.stage.now();
        let version = {
            let cluster = &mut self.truth.lock().cluster;
            change(cluster, now);
            cluster.version
        };
        self.stage.note(&format!("{what}, version {version}"));
        self.stage.notify(self.changed);
    }

    pub fn feed<T>(&self, agent: usize, resource: Resource, look: impl FnOnce(&mut Feed) -> T) -> T {
        let mut truth = self.truth.lock();
        look(truth.feeds.get_mut(&(agent, crate::cluster::index(resource))).expect("every agent has feeds"))
    }

    /// The addresses that pods of this run may have, one of each family in turns.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let count = u16::try_from(self.swarm.pods).unwrap() + 2;
        (1..=count)
            .map(|number| match number % 4 {
                0 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(),
                _ => Ipv4Addr::new(10, 0, 0, number.to_le_bytes()[0]).into(),
            })
            .collect()
    }

    /// The agents that take requests.
    pub fn serving(&self) -> Vec<Arc<Agent>> {
        self.agents.lock().iter().filter(|agent| !agent.is_closed()).cloned().collect()
    }
}
