//! The one door through which threads are born: each has a name and a bounded stack.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread called `name` (the kernel shows the first 15 bytes) with a stack of `stack_bytes`.
pub fn spawn(name: &str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    start(name, stack_bytes, Box::new(work)).map_err(explained)
}

/// The system says no more than "temporarily unavailable" (pthread_create(3), EAGAIN).
fn explained(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::WouldBlock {
        return error;
    }
    let limits = "raise the limit of the container's pids, of the user's processes (ulimit -u) or of memory";
    io::Error::new(error.kind(), format!("the system gives no more threads; the agent needs {ENOUGH}: {limits}"))
}

/// What std does to start a thread is in the program once for each kind of work; boxed, there is one kind.
fn start(name: &str, stack_bytes: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(work)
}

/// Threads that suffice to start and to serve, a few connections at a time.
const ENOUGH: usize = 32;

/// The stack of a thread that may speak TLS or read JSON. Only pages that are touched cost memory.
pub const STACK_BYTES: usize = 512 * 1024;
