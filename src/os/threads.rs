//! The only place that starts threads: each has a name and a bounded stack.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread with a stack of `stack_bytes`; the kernel shows the first 15 bytes of `name`.
pub fn spawn(name: &str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    start(name, stack_bytes, Box::new(work)).map_err(explained)
}

/// Explains EAGAIN of pthread_create(3), whose text is only "temporarily unavailable".
fn explained(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::WouldBlock {
        return error;
    }
    let limits = "raise the limit of the container's pids, of the user's processes (ulimit -u) or of memory";
    io::Error::new(error.kind(), format!("the system gives no more threads; the agent needs {NEEDED}: {limits}"))
}

/// Boxed, so that std's code for starting a thread is compiled once instead of once per closure type.
fn start(name: &str, stack_bytes: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(work)
}

/// Enough threads to start and to serve a few connections at a time.
const NEEDED: usize = 32;

/// Bytes; the stack of a thread that uses TLS or parses JSON. Only touched pages take memory.
pub const STACK_BYTES: usize = 512 * 1024;
