//! SIGTERM and SIGINT close the latch. signal-hook spares us unsafe code.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::latch::Latch;
use super::threads;

/// Starts the thread that waits for signals. It lives as long as the process: a second signal while draining is logged
/// and has no effect.
pub fn close_on_signals(latch: Arc<Latch>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    threads::spawn("signals", threads::STACK_BYTES, move || {
        for signal in signals.forever() {
            // Before the log line, which may wait for space in the log queue.
            latch.close();
            log::info!("signal" = signal; "asked to end");
        }
    })?;
    Ok(())
}
