//! The stage: real threads of which one runs at a time. Whoever runs holds the baton and gives it up only where the
//! agent could be interrupted anyway: at a bell, or when it waits for the world outside. The seed says who is next.
//!
//! Time is a number. It moves only when everybody waits, to the next moment at which somebody wants to wake.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use kube2iam::for_tests::{STACK_BYTES, spawn_thread};
use parking_lot::{Mutex, MutexGuard};

use crate::manner::{Fault, Manner};
use crate::random::Random;

pub struct Stage {
    inner: Mutex<Inner>,
    /// Whose turn it is
    turn: AtomicUsize,
    ended: (Sender<()>, Receiver<()>),
}

struct Inner {
    /// Microseconds
    now: u64,
    wall_ahead_ms: i64,
    /// Spent asleep with the whole machine so far, and about to be
    slept: u64,
    nap: u64,
    actors: Vec<Actor>,
    /// How often each bell rang
    bells: Vec<u64>,
    random: Random,
    manner: Manner,
    steps: u64,
    steps_at_this_moment: u64,
    faults: Vec<Fault>,
    trail: VecDeque<String>,
    /// Of everything that happened, in order: two runs of a seed have the same
    digest: u64,
}

struct Actor {
    thread: Option<Thread>,
    state: State,
    rank: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Waiting { notifier: Option<usize>, until: u64 },
    Done,
}

thread_local! {
    static ON_STAGE: RefCell<Option<(Arc<Stage>, usize)>> = const { RefCell::new(None) };
}

/// The stage on which this thread acts.
pub fn current() -> Option<Arc<Stage>> {
    ON_STAGE.with_borrow(|on| Some(on.as_ref()?.0.clone()))
}

fn me() -> usize {
    ON_STAGE.with_borrow(|on| on.as_ref().map(|(_, actor)| *actor)).expect("only actors wait")
}

impl Stage {
    pub fn new(random: Random, manner: Manner) -> Arc<Self> {
        let inner = Inner {
            now: 1_000_000,
            wall_ahead_ms: 0,
            slept: 0,
            nap: 0,
            actors: Vec::new(),
            bells: Vec::new(),
            random,
            manner,
            steps: 0,
            steps_at_this_moment: 0,
            faults: Vec::new(),
            trail: VecDeque::new(),
            digest: 0xcbf2_9ce4_8422_2325,
        };
        Arc::new(Self { inner: Mutex::new(inner), turn: AtomicUsize::new(NOBODY), ended: bounded(1) })
    }

    /// Lets an actor on the stage; it runs when it is its turn.
    pub fn enter(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> usize {
        let actor = {
            let mut inner = self.inner.lock();
            let rank = inner.random.number();
            inner.actors.push(Actor { thread: None, state: State::Ready, rank });
            inner.actors.len() - 1
        };
        let (stage, named) = (self.clone(), name.to_owned());
        let act = move || {
            ON_STAGE.set(Some((stage.clone(), actor)));
            stage.await_turn(actor);
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                stage.blame("no thread panics", &format!("`{named}` did"));
            }
            ON_STAGE.set(None);
            stage.leave(actor);
        };
        let thread = spawn_thread(name, STACK_BYTES, act).unwrap();
        self.inner.lock().actors[actor].thread = Some(thread.thread().clone());
        actor
    }

    /// Plays until all have left. A stage on which nothing moves any more has a lock that somebody holds while
    /// waiting, which is for the one who watches to say.
    pub fn play(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        let first = inner.choose().expect("somebody is on the stage");
        self.turn.store(first, Ordering::Release);
        inner.actors[first].thread.as_ref().unwrap().unpark();
        drop(inner);
        let mut before = None;
        while self.ended.1.recv_timeout(HANGS_AFTER).is_err() {
            let steps = self.steps();
            assert!(before != Some(steps), "nothing moves on the stage after {steps} steps: a lock is held in a wait");
            before = Some(steps);
        }
    }

    pub fn now(&self) -> u64 {
        self.inner.lock().now
    }

    pub fn wall_ms(&self) -> i64 {
        let inner = self.inner.lock();
        EPOCH_MS + i64::try_from(inner.now / 1_000).unwrap() + inner.wall_ahead_ms
    }

    pub fn jump_wall(&self, by_ms: i64) {
        self.inner.lock().wall_ahead_ms += by_ms;
    }

    /// Puts the machine to sleep as soon as everybody waits.
    pub fn nap(&self, micros: u64) {
        self.inner.lock().nap += micros;
    }

    pub fn slept(&self) -> u64 {
        self.inner.lock().slept
    }

    pub fn steps(&self) -> u64 {
        self.inner.lock().steps
    }

    /// Waits for `micros`.
    pub fn pause(&self, micros: u64) {
        let inner = self.inner.lock();
        let until = inner.now.saturating_add(micros);
        self.wait(inner, State::Waiting { notifier: None, until });
    }

    /// A place at which another may go on.
    pub fn crossing(&self) {
        if ON_STAGE.with_borrow(Option::is_none) {
            return;
        }
        let mut inner = self.inner.lock();
        let manner = inner.manner;
        if inner.random.roll(16) < manner.interrupted {
            self.wait(inner, State::Ready);
        }
    }

    pub fn new_bell(&self) -> usize {
        let mut inner = self.inner.lock();
        inner.bells.push(0);
        inner.bells.len() - 1
    }

    pub fn generation(&self, notifier: usize) -> u64 {
        self.inner.lock().bells[notifier]
    }

    pub fn notify(&self, notifier: usize) {
        let mut inner = self.inner.lock();
        inner.bells[notifier] += 1;
        for actor in &mut inner.actors {
            if matches!(actor.state, State::Waiting { notifier: Some(waits), .. } if waits == notifier) {
                actor.state = State::Ready;
            }
        }
    }

    pub fn await_bell(&self, notifier: usize, before: u64, until: u64) {
        let inner = self.inner.lock();
        if inner.bells[notifier] == before && inner.now < until {
            self.wait(inner, State::Waiting { notifier: Some(notifier), until });
        }
    }

    /// Says that a promise is broken.
    pub fn blame(&self, promise: &'static str, text: &str) {
        let mut inner = self.inner.lock();
        let now = inner.now;
        inner.note(&format!("BROKEN {promise}: {text}"));
        inner.faults.push(Fault { promise, text: format!("at {now} us: {text}") });
    }

    pub fn faults(&self) -> Vec<Fault> {
        self.inner.lock().faults.clone()
    }

    pub fn is_blamed(&self) -> bool {
        !self.inner.lock().faults.is_empty()
    }

    /// Remembers what happened, for whoever looks for the cause of a fault.
    pub fn note(&self, text: &str) {
        self.inner.lock().note(text);
    }

    pub fn trail(&self) -> (Vec<String>, u64) {
        let inner = self.inner.lock();
        (inner.trail.iter().cloned().collect(), inner.digest)
    }

    fn wait(&self, mut inner: MutexGuard<'_, Inner>, state: State) {
        let me = me();
        inner.actors[me].state = state;
        self.hand_over(inner);
        self.await_turn(me);
    }

    fn leave(&self, actor: usize) {
        let mut inner = self.inner.lock();
        inner.actors[actor].state = State::Done;
        self.hand_over(inner);
    }

    fn hand_over(&self, mut inner: MutexGuard<'_, Inner>) {
        let next = inner.choose();
        self.turn.store(next.unwrap_or(NOBODY), Ordering::Release);
        let Some(next) = next else {
            let _ = self.ended.0.try_send(());
            return;
        };
        let thread = inner.actors[next].thread.clone();
        drop(inner);
        thread.into_iter().for_each(|thread| thread.unpark());
    }

    fn await_turn(&self, actor: usize) {
        while self.turn.load(Ordering::Acquire) != actor {
            thread::park();
        }
    }
}

impl Inner {
    /// Who goes on; `None`: nobody ever will.
    fn choose(&mut self) -> Option<usize> {
        self.steps += 1;
        self.steps_at_this_moment += 1;
        if self.steps_at_this_moment > MOST_STEPS_AT_ONCE {
            self.faults.push(Fault { promise: "nobody spins", text: format!("at {} us", self.now) });
            return None;
        }
        loop {
            let ready: Vec<usize> =
                (0..self.actors.len()).filter(|actor| self.actors[*actor].state == State::Ready).collect();
            if !ready.is_empty() {
                let chosen = self.choose_among(&ready);
                self.mix(chosen as u64);
                return Some(chosen);
            }
            self.move_on()?;
        }
    }

    fn choose_among(&mut self, ready: &[usize]) -> usize {
        if !self.manner.ranks {
            return *self.random.pick(ready);
        }
        let chosen = *ready.iter().max_by_key(|actor| self.actors[**actor].rank).unwrap();
        if self.random.one_in(24) {
            self.actors[chosen].rank = self.random.number();
        }
        chosen
    }

    /// Moves time to the next moment at which somebody wakes.
    fn move_on(&mut self) -> Option<()> {
        let deadlines = self.actors.iter().filter_map(|actor| match actor.state {
            State::Waiting { until, .. } => Some(until),
            _ => None,
        });
        let next = deadlines.min()?;
        if next == u64::MAX {
            self.faults.push(Fault { promise: "nobody waits for ever", text: format!("at {} us", self.now) });
            return None;
        }
        let nap = std::mem::take(&mut self.nap);
        self.now = self.now.max(next) + nap;
        self.slept += nap;
        self.steps_at_this_moment = 0;
        for actor in &mut self.actors {
            if matches!(actor.state, State::Waiting { until, .. } if until <= self.now) {
                actor.state = State::Ready;
            }
        }
        Some(())
    }

    fn note(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.mix(u64::from(byte)));
        if self.trail.len() == LONGEST_TRAIL {
            self.trail.pop_front();
        }
        self.trail.push_back(format!("{:>12} {text}", self.now));
    }

    fn mix(&mut self, value: u64) {
        self.digest = (self.digest ^ value ^ self.now).wrapping_mul(0x0100_0000_01b3);
    }
}

const NOBODY: usize = usize::MAX;
/// 2026-11-23
const EPOCH_MS: i64 = 1_795_400_000_000;
const MOST_STEPS_AT_ONCE: u64 = 20_000;
const LONGEST_TRAIL: usize = 400;
/// Real time without a single step; generous, since the machine may be busy with something else.
const HANGS_AFTER: Duration = Duration::from_secs(120);
