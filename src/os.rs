//! The operating system: clocks, randomness, threads, signals, files, the log writer, the control socket, and the
//! handover from one agent to the next.

pub mod clock;
pub mod control_socket;
pub mod files;
pub mod handover;
pub mod issuer_file;
pub mod key_file;
pub mod latch;
pub mod log_writer;
pub mod memory;
pub mod notifier;
pub mod nss;
pub mod peer;
pub mod port_holder;
pub mod process;
pub mod random;
pub mod signals;
pub mod single_flight;
pub mod state_dir;
mod state_file;
pub mod threads;
