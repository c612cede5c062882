//! The one door through which threads are born: every thread has a name and a stack of a known size.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread. `name` shows up in `/proc` up to its 15th byte. Fails when the system has no room for one more.
pub fn spawn(name: &str, stack_bytes: usize, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(f)
}
