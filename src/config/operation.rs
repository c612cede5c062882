//! State directory, control socket, taint and Events.

use std::path::PathBuf;

use super::flags::OperationFlags;
use super::pflag::CommandLine;
use super::usage::UsageError;
use super::values::{is_key, or_allowed};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationConfig {
    /// Where an agent hands over to its successor
    pub state_dir: Option<PathBuf>,
    pub control_socket: SocketSetting,
    /// Key of the taint to remove from the node; set only with a node
    pub remove_taint: Option<String>,
    /// Write Events to refused pods.
    pub events: bool,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketSetting {
    Off,
    /// The default path; failing to create it is a warning
    Preset(PathBuf),
    /// A path that was configured
    Asked(PathBuf),
}

impl OperationConfig {
    pub(super) fn read(flags: OperationFlags, line: &CommandLine<'_>, node: Option<&str>) -> Result<Self, UsageError> {
        if flags.remove_taint.is_some() && node.is_none() {
            return Err(UsageError::contradiction(line.shown("remove-taint"), "allowed only with --node"));
        }
        let control_socket = match flags.control_socket {
            SocketSetting::Asked(path) if !line.is_typed("control-socket") => SocketSetting::Preset(path),
            setting => setting,
        };
        let OperationFlags { state_dir, remove_taint, events, .. } = flags;
        Ok(Self { state_dir, control_socket, remove_taint, events })
    }
}

pub(super) fn state_dir(text: &str) -> Result<PathBuf, String> {
    or_allowed(absolute(text, LONGEST_STATE_DIR), "a path from the root, of at most 87 bytes")
}

pub(super) fn control_socket(text: &str) -> Result<SocketSetting, String> {
    if text.is_empty() {
        return Ok(SocketSetting::Off);
    }
    let path = absolute(text, LONGEST_SOCKET).map(SocketSetting::Asked);
    or_allowed(path, "a path from the root, of at most 107 bytes, or nothing")
}

pub(super) fn taint_key(text: &str) -> Result<String, String> {
    or_allowed(is_key(text).then(|| text.to_owned()), "a taint's key: [PREFIX/]NAME")
}

fn absolute(text: &str, longest: usize) -> Option<PathBuf> {
    (text.starts_with('/') && !text.contains('\0') && text.len() <= longest).then(|| text.into())
}

/// Linux's `sun_path` (unix(7)) less the terminating zero.
const LONGEST_SOCKET: usize = 107;
/// Leaves room for `/agent-01234567.sock` in a socket's path.
const LONGEST_STATE_DIR: usize = LONGEST_SOCKET - 20;
