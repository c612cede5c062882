//! The one door through which threads are born: each has a name and a bounded stack.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread called `name` (the kernel shows the first 15 bytes) with a stack of `stack_bytes`.
pub fn spawn(name: &str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    start(name, stack_bytes, Box::new(work))
}

/// What std does to start a thread is in the program once for each kind of work; boxed, there is one kind.
fn start(name: &str, stack_bytes: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(work)
}

/// The stack of a thread that may speak TLS or read JSON. Only pages that are touched cost memory.
pub const STACK_BYTES: usize = 512 * 1024;
