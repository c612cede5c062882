//! Other programs, run to their end within a limit.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wire::spawn;

/// Runs a program to its end, however it ends, and kills it at the limit.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|cause| format!("failed to start `{name}`: {cause}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
    let (ended, end) = std::sync::mpsc::channel();
    spawn("run", move || drop(ended.send(child.wait_with_output())));
    let output = end.recv_timeout(limit).map_err(|_| {
        let _ = kill_process(pid, Signal::KILL);
        format!("`{name}` took longer than {limit:?}")
    })?;
    output.map_err(|cause| format!("failed to read from `{name}`: {cause}"))
}

/// Runs a program that must succeed and gives what it printed.
pub fn run_well(command: &mut Command, limit: Duration) -> Result<String, String> {
    let output = run(command, limit)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("`{command:?}` ended with {}: {stderr}", output.status))
}
