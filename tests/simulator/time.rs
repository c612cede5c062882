//! The agent's clock, bells, dice and key store.

use std::io;
use std::sync::Arc;

use kube2iam::for_tests::{Clock, KeyStore, Mono, Notifier, Now, Random, Time, TokenKeys, Wall};
use parking_lot::Mutex;

use crate::plants::Plant;
use crate::sim::Sim;

pub struct SimTime(pub Arc<Sim>);

impl SimTime {
    /// A clock that doesn't count while the machine sleeps, as a planted bug has it, lags behind by this.
    fn lag(&self) -> u64 {
        if self.0.has(Plant::ClockSleeps) { self.0.stage.slept() } else { 0 }
    }
}

impl Clock for SimTime {
    fn now(&self) -> Now {
        let stage = &self.0.stage;
        Now { mono: Mono::from_micros(stage.now() - self.lag()), wall: Wall::from_unix_millis(stage.wall_ms()) }
    }
}

impl Time for SimTime {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(SimBell { sim: self.0.clone(), notifier: self.0.stage.new_bell(), time: Self(self.0.clone()) })
    }
}

struct SimBell {
    sim: Arc<Sim>,
    notifier: usize,
    time: SimTime,
}

impl Notifier for SimBell {
    fn generation(&self) -> u64 {
        self.sim.stage.crossing();
        self.sim.stage.generation(self.notifier)
    }

    fn notify(&self) {
        self.sim.stage.crossing();
        if self.sim.has(Plant::BellForgets) && self.sim.roll(4) == 0 {
            return;
        }
        self.sim.stage.notify(self.notifier);
        self.sim.stage.crossing();
    }

    fn wait(&self, before: u64, deadline: Mono) {
        self.sim.stage.crossing();
        self.sim.stage.await_bell(self.notifier, before, deadline.micros().saturating_add(self.time.lag()));
    }
}

pub struct SimDice(pub Arc<Sim>);

impl Random for SimDice {
    fn number(&self) -> u64 {
        self.0.number()
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.0.number().to_le_bytes()));
        Ok(secret)
    }
}

/// What lies on the node for the next agent.
#[derive(Default)]
pub struct NodeStore(Mutex<Option<TokenKeys>>);

impl KeyStore for NodeStore {
    fn read(&self) -> Result<Option<TokenKeys>, String> {
        Ok(self.0.lock().clone())
    }

    fn update(
        &self,
        change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
    ) -> Result<(), String> {
        let mut lies = self.0.lock();
        let found = lies.clone();
        if let Some(keys) = change(Ok(found)) {
            *lies = Some(keys);
        }
        Ok(())
    }
}
