//! Workers: one for each open connection.
//!
//! A connection goes to the worker that became idle last, else to a new worker, or, with the maximum number busy, to
//! the next one free. A worker idle for [`idle_worker`](super::Limits::idle_worker) exits, except the last one while
//! connections are open: starting a thread for the next connection may fail.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::acceptor::Listeners;
use super::request_loop::{Buffers, serve};
use super::shared::{Shared, Shortage, Slot};
use super::{ConnectionEvent, Refusal};
use crate::os::{memory, threads};

pub(super) struct Pool {
    shared: Arc<Shared>,
    /// Dropped once the server has stopped accepting
    listeners: Weak<Listeners>,
    state: Mutex<PoolState>,
    /// Signalled when the last worker has exited.
    empty: Condvar,
}

#[derive(Default)]
struct PoolState {
    /// Workers waiting for a job, the most recent last
    idle: Vec<(u64, Sender<Job>)>,
    /// Connections waiting for a worker that is still busy with an evicted one
    queue: VecDeque<Slot>,
    workers: usize,
    threads: Vec<JoinHandle<()>>,
    next_worker: u64,
    closing: bool,
}

enum Job {
    Serve(Slot),
    Stop,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, listeners: Weak<Listeners>) -> Self {
        Self { shared, listeners, state: Mutex::default(), empty: Condvar::new() }
    }

    /// Counts a worker that serves nothing, like one about to start or to exit.
    #[cfg(test)]
    pub(super) fn count_idle_worker(self: &Arc<Self>) -> WorkerGuard {
        self.state.lock().workers += 1;
        WorkerGuard { pool: self.clone() }
    }

    pub(super) fn workers(&self) -> usize {
        self.state.lock().workers
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.idle.len() < state.workers
    }

    /// Gives a connection to an idle worker, to a new one, or, with the maximum number busy, queues it for the next one
    /// free. `Err` if no thread could be started or the queue is full.
    pub(super) fn dispatch(self: &Arc<Self>, slot: Slot) -> Result<(), Slot> {
        let most = self.shared.front.limits.connections;
        let mut state = self.state.lock();
        if let Some((_, worker)) = state.idle.pop() {
            drop(state);
            // A worker taken off the idle list waits for one job, so the channel has a receiver and room.
            let _ = worker.send(Job::Serve(slot));
            return Ok(());
        }
        if state.workers < most {
            state.workers += 1;
            drop(state);
            return self.spawn(slot, WorkerGuard { pool: self.clone() });
        }
        if state.queue.len() >= most {
            return Err(slot);
        }
        state.queue.push_back(slot);
        Ok(())
    }

    /// Queues a connection for the next free worker; `Err` if there are no workers or the queue is full.
    pub(super) fn enqueue(&self, slot: Slot) -> Result<(), Slot> {
        let mut state = self.state.lock();
        if state.workers == 0 || state.queue.len() >= self.shared.front.limits.connections {
            return Err(slot);
        }
        if let Some((_, worker)) = state.idle.pop() {
            drop(state);
            let _ = worker.send(Job::Serve(slot));
        } else {
            state.queue.push_back(slot);
        }
        Ok(())
    }

    /// Stops idle workers; the others exit when their connection ends.
    pub(super) fn close(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.closing = true;
            std::mem::take(&mut state.idle)
        };
        for (_, worker) in idle {
            let _ = worker.send(Job::Stop);
        }
    }

    /// Waits at most `timeout` until all workers have exited. Returns how many haven't.
    pub(super) fn wait_until_empty(&self, timeout: Duration) -> usize {
        let mut state = self.state.lock();
        self.empty.wait_while_for(&mut state, |state| state.workers > 0, timeout);
        state.workers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers() == 0
    }

    /// Joins the threads that have ended.
    pub(super) fn join_ended(&self) {
        let threads = std::mem::take(&mut self.state.lock().threads);
        let all_ended = self.is_empty();
        for thread in threads {
            if all_ended || thread.is_finished() {
                // A worker catches its panics, so the result carries nothing.
                let _ = thread.join();
            }
        }
    }

    fn spawn(&self, slot: Slot, guard: WorkerGuard) -> Result<(), Slot> {
        let (sender, receiver) = bounded(1);
        let worker = self.next_worker();
        let own = sender.clone();
        let work = move || guard.pool.work(worker, &own, &receiver);
        let stack = self.shared.front.limits.stack;
        match memory::has_headroom().then(|| threads::spawn("http-worker", stack, work)) {
            Some(Ok(thread)) => {
                self.shared.set_short_of_threads(Shortage::No);
                self.register(thread);
                let _ = sender.send(Job::Serve(slot));
                Ok(())
            }
            None | Some(Err(_)) => {
                self.shared.set_short_of_threads(Shortage::Yes);
                Err(slot)
            }
        }
    }

    fn next_worker(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_worker += 1;
        state.next_worker
    }

    fn register(&self, thread: JoinHandle<()>) {
        let mut state = self.state.lock();
        if state.threads.len() > 2 * state.workers + SPENT_THREADS {
            state.threads.retain(|thread| !thread.is_finished());
        }
        state.threads.push(thread);
    }

    fn work(&self, worker: u64, own: &Sender<Job>, jobs: &Receiver<Job>) {
        let mut buffers = Buffers::new();
        let mut next = self.await_job(worker, jobs);
        while let Some(slot) = next {
            let connection = &slot.connection;
            if catch_unwind(AssertUnwindSafe(|| serve(&self.shared, connection, &mut buffers))).is_err() {
                buffers = Buffers::new();
                self.shared.report(&ConnectionEvent::Panicked { peer: connection.peer });
            }
            // Closes the connection before waiting for the next.
            drop(slot);
            next = self.next_slot(worker, own, jobs);
        }
    }

    /// The worker's next connection: queued, waiting on a listener, or dispatched while idle. `None`: exit.
    fn next_slot(&self, worker: u64, own: &Sender<Job>, jobs: &Receiver<Job>) -> Option<Slot> {
        let queued = self.state.lock().queue.pop_front();
        if let Some(slot) = queued.or_else(|| self.accept_waiting()) {
            return Some(slot);
        }
        {
            let mut state = self.state.lock();
            if let Some(slot) = state.queue.pop_front() {
                return Some(slot);
            }
            if state.closing {
                return None;
            }
            state.idle.push((worker, own.clone()));
            // The next connection has a worker.
            self.shared.set_short_of_threads(Shortage::No);
        }
        self.await_job(worker, jobs)
    }

    fn accept_waiting(&self) -> Option<Slot> {
        let listeners = self.listeners.upgrade()?;
        // A panic must not end the worker.
        catch_unwind(AssertUnwindSafe(|| listeners.accept_waiting())).ok().flatten()
    }

    fn await_job(&self, worker: u64, jobs: &Receiver<Job>) -> Option<Slot> {
        let timeout = self.shared.front.limits.idle_worker;
        loop {
            match jobs.recv_timeout(timeout) {
                Ok(Job::Serve(slot)) => return Some(slot),
                Ok(Job::Stop) => return None,
                // A worker taken off the idle list is about to receive a job.
                Err(_) if self.may_exit(worker) => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether an idle worker may exit; if so, takes it off the idle list.
    fn may_exit(&self, worker: u64) -> bool {
        let is_in_use = self.shared.open_connections() > 0;
        let mut state = self.state.lock();
        if is_in_use && state.idle.len() == 1 {
            return false;
        }
        let at = state.idle.iter().position(|(other, _)| *other == worker);
        at.map(|at| state.idle.remove(at)).is_some()
    }
}

/// Counts a worker until its thread ends or fails to start.
pub(super) struct WorkerGuard {
    pool: Arc<Pool>,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.workers -= 1;
        // Connections queued for a worker that exits, or whose thread failed to start, must be refused or they hang.
        let unserved = if state.workers == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        if state.workers == 0 {
            self.pool.empty.notify_all();
        }
        drop(state);
        for slot in unserved {
            self.pool.shared.report(&ConnectionEvent::Refused { peer: slot.connection.peer, why: Refusal::NoThread });
        }
    }
}

/// Handles of ended threads are dropped once there are more than this many to spare.
const SPENT_THREADS: usize = 64;
