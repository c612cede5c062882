<<<<<<< HEAD
//! The one door through which threads are born: each has a name and a bounded stack.
=======
//! The one door through which threads are born: every thread has a name and a stack of a known size.
>>>>>>> door

use std::io;
use std::thread::{Builder, JoinHandle};

<<<<<<< HEAD
/// Starts a thread called `name` (the kernel shows the first 15 bytes) with a stack of `stack_bytes`.
pub fn spawn(name: &str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(work)
}

/// The stack of a thread that may speak TLS or read JSON. Only pages that are touched cost memory.
pub const STACK_BYTES: usize = 512 * 1024;
=======
/// Starts a thread. `name` shows up in `/proc` up to its 15th byte. Fails when the system has no room for one more.
pub fn spawn(name: &str, stack_bytes: usize, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(f)
}
>>>>>>> door
