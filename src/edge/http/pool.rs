//! Workers, one for each connection that has something to say. The pool grows on demand; who has been idle for
//! long leaves, but for the last one while anybody is here.
//!
//! Each worker has a channel of its own for one errand, and the one that became idle last gets the next: its stack
//! and buffers are warm, and after a crowd the others' time runs out. No lock is held while an errand is handed over.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::conversation::{Desk, Parting, converse};
use super::door::{Door, Visit};
use super::lounge::Lounge;
use super::reception::Reception;
use super::{Event, Refusal};
use crate::edge::{memory, threads};

pub(super) struct Pool {
    door: Arc<Door>,
    /// Gone once nobody is taken in any more
    reception: Weak<Reception>,
    lounge: Lounge,
    staff: Mutex<Staff>,
    /// The last worker has gone.
    deserted: Condvar,
}

#[derive(Default)]
struct Staff {
    /// Waiting for an errand, the latest last.
    idle: Vec<(u64, Sender<Errand>)>,
    /// Connections whose worker is still busy with one that was evicted for them.
    queue: VecDeque<Visit>,
    workers: usize,
    porters: usize,
    threads: Vec<JoinHandle<()>>,
    next_worker: u64,
    closing: bool,
}

enum Errand {
    Serve(Visit),
    GoHome,
}

impl Pool {
    pub(super) fn new(door: Arc<Door>, reception: Weak<Reception>, lounge: Lounge) -> Self {
        Self { door, reception, lounge, staff: Mutex::default(), deserted: Condvar::new() }
    }

    /// Starts those who watch over the lounge.
    pub(super) fn open_lounge(self: &Arc<Self>) -> io::Result<()> {
        self.lounge.staff(&self.door, self)
    }

    /// Whether anybody may still come in.
    pub(super) fn has_reception(&self) -> bool {
        self.reception.strong_count() > 0
    }

    pub(super) fn attend_porter(self: &Arc<Self>) -> Attendance {
        self.staff.lock().porters += 1;
        Attendance { pool: self.clone(), post: Post::Porter }
    }

    /// Somebody who counts as a worker and takes nothing on: one who is about to begin or to go.
    #[cfg(test)]
    pub(super) fn attend_idly(self: &Arc<Self>) -> Attendance {
        self.staff.lock().workers += 1;
        Attendance { pool: self.clone(), post: Post::Worker }
    }

    pub(super) fn workers(&self) -> usize {
        self.staff.lock().workers
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        let staff = self.staff.lock();
        staff.idle.len() < staff.workers
    }

    /// Gives a connection to an idle worker, to a new one, or, with all of them busy, to the next that gets free.
    /// `Err`: the system gives no thread.
    pub(super) fn dispatch(self: &Arc<Self>, visit: Visit) -> Result<(), Visit> {
        let most = self.door.front.limits.connections;
        let mut staff = self.staff.lock();
        if let Some((_, worker)) = staff.idle.pop() {
            drop(staff);
            // A worker that isn't listed as idle waits for its errand, so there is room and someone to take it.
            let _ = worker.send(Errand::Serve(visit));
            return Ok(());
        }
        if staff.workers < most {
            staff.workers += 1;
            drop(staff);
            return self.hire(visit, Attendance { pool: self.clone(), post: Post::Worker });
        }
        if staff.queue.len() >= most {
            return Err(visit);
        }
        staff.queue.push_back(visit);
        Ok(())
    }

    /// Leaves a connection to whoever gets free; only good while there are workers.
    pub(super) fn enqueue(&self, visit: Visit) -> Result<(), Visit> {
        let mut staff = self.staff.lock();
        if staff.workers == 0 || staff.queue.len() >= self.door.front.limits.connections {
            return Err(visit);
        }
        if let Some((_, worker)) = staff.idle.pop() {
            drop(staff);
            let _ = worker.send(Errand::Serve(visit));
        } else {
            staff.queue.push_back(visit);
        }
        Ok(())
    }

    /// Sends home who is idle; the others go when their connection is done.
    pub(super) fn close(&self) {
        self.lounge.close();
        let idle = {
            let mut staff = self.staff.lock();
            staff.closing = true;
            std::mem::take(&mut staff.idle)
        };
        for (_, worker) in idle {
            let _ = worker.send(Errand::GoHome);
        }
    }

    /// Waits until all workers and porters have gone, for at most `patience`. Tells how many workers haven't.
    pub(super) fn wait_until_deserted(&self, patience: Duration) -> usize {
        let mut staff = self.staff.lock();
        self.deserted.wait_while_for(&mut staff, |staff| staff.present() > 0, patience);
        staff.workers
    }

    /// Whether nobody works or watches any more.
    pub(super) fn is_deserted(&self) -> bool {
        self.staff.lock().present() == 0
    }

    /// Joins the threads of those that have gone.
    pub(super) fn join_gone(&self) {
        let threads = std::mem::take(&mut self.staff.lock().threads);
        let all_gone = self.is_deserted();
        for thread in threads {
            if all_gone || thread.is_finished() {
                // A worker's panics are caught; there is nothing to learn from its end.
                let _ = thread.join();
            }
        }
    }

    fn hire(&self, visit: Visit, attendance: Attendance) -> Result<(), Visit> {
        let (sender, receiver) = bounded(1);
        let worker = self.next_worker();
        let home = sender.clone();
        let begin = move || attendance.pool.work(worker, &home, &receiver);
        let stack = self.door.front.limits.stack;
        match memory::has_headroom().then(|| threads::spawn("door-worker", stack, begin)) {
            Some(Ok(thread)) => {
                self.register(thread);
                let _ = sender.send(Errand::Serve(visit));
                Ok(())
            }
            None | Some(Err(_)) => Err(visit),
        }
    }

    fn next_worker(&self) -> u64 {
        let mut staff = self.staff.lock();
        staff.next_worker += 1;
        staff.next_worker
    }

    pub(super) fn register(&self, thread: JoinHandle<()>) {
        let mut staff = self.staff.lock();
        if staff.threads.len() > 2 * staff.workers + SPENT_THREADS {
            staff.threads.retain(|thread| !thread.is_finished());
        }
        staff.threads.push(thread);
    }

    fn work(&self, worker: u64, home: &Sender<Errand>, errands: &Receiver<Errand>) {
        let mut desk = Desk::new();
        let mut next = self.await_errand(worker, errands);
        while let Some(visit) = next {
            self.attend(visit, &mut desk);
            next = self.rest(worker, home, errands);
        }
    }

    /// One connection until it ends, or until it waits in the lounge.
    fn attend(&self, mut visit: Visit, desk: &mut Desk) {
        let mut may_wait = self.lounge.is_open();
        loop {
            let talk = catch_unwind(AssertUnwindSafe(|| converse(&self.door, &mut visit, desk, may_wait)));
            match talk {
                Ok(Parting::ForGood) => return,
                Ok(Parting::ForNow) => match self.lounge.seat(visit) {
                    Ok(()) => return,
                    Err(unseated) => visit = unseated,
                },
                Err(_) => {
                    *desk = Desk::new();
                    return self.door.saw(&Event::Panicked { peer: visit.guest.peer });
                }
            }
            may_wait = false;
        }
    }

    /// Between two connections.
    fn rest(&self, worker: u64, home: &Sender<Errand>, errands: &Receiver<Errand>) -> Option<Visit> {
        let queued = self.staff.lock().queue.pop_front();
        if let Some(visit) = queued.or_else(|| self.take_in()) {
            return Some(visit);
        }
        {
            let mut staff = self.staff.lock();
            if let Some(visit) = staff.queue.pop_front() {
                return Some(visit);
            }
            if staff.closing {
                return None;
            }
            staff.idle.push((worker, home.clone()));
        }
        self.await_errand(worker, errands)
    }

    /// Somebody who waits to be let in, for a worker that would only wait itself.
    fn take_in(&self) -> Option<Visit> {
        let reception = self.reception.upgrade()?;
        // Whatever an observer does, the worker goes on.
        catch_unwind(AssertUnwindSafe(|| reception.next())).ok().flatten()
    }

    fn await_errand(&self, worker: u64, errands: &Receiver<Errand>) -> Option<Visit> {
        let patience = self.door.front.limits.idle_worker;
        loop {
            match errands.recv_timeout(patience) {
                Ok(Errand::Serve(visit)) => return Some(visit),
                Ok(Errand::GoHome) => return None,
                // Who has been taken off the list has an errand on its way.
                Err(_) if self.sign_off(worker) => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether an idle worker may go. The last one stays while anybody is here: those in the lounge hold no worker of
    /// their own, and the system may have no thread to give when they need one.
    fn sign_off(&self, worker: u64) -> bool {
        let is_wanted = self.door.seated() > 0;
        let mut staff = self.staff.lock();
        if is_wanted && staff.idle.len() == 1 {
            return false;
        }
        let at = staff.idle.iter().position(|(other, _)| *other == worker);
        at.map(|at| staff.idle.remove(at)).is_some()
    }
}

impl Staff {
    fn present(&self) -> usize {
        self.workers + self.porters
    }
}

/// Somebody's presence; ends however their thread ends, or when there is none to be had.
pub(super) struct Attendance {
    pool: Arc<Pool>,
    post: Post,
}

#[derive(Clone, Copy)]
enum Post {
    Worker,
    Porter,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut staff = self.pool.staff.lock();
        match self.post {
            Post::Worker => staff.workers -= 1,
            Post::Porter => staff.porters -= 1,
        }
        // Whoever was left to the last worker while it was going, or to one that never came, would wait for ever.
        let stranded = if staff.workers == 0 { std::mem::take(&mut staff.queue) } else { VecDeque::new() };
        if staff.present() == 0 {
            self.pool.deserted.notify_all();
        }
        drop(staff);
        for visit in stranded {
            self.pool.door.saw(&Event::Refused { peer: visit.guest.peer, why: Refusal::NoThread });
        }
    }
}

/// Handles of threads that have ended are let go once there are this many more than needed.
const SPENT_THREADS: usize = 64;
