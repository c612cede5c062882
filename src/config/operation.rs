//! What the agent does beside its main job.

use std::path::PathBuf;

use super::flags::OperationFlags;
use super::given::{Given, unless_empty};
use super::usage::UsageError;
use super::values::is_key;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationConfig {
    /// Where an agent meets its successor
    pub state_dir: Option<PathBuf>,
    pub control_socket: SocketSetting,
    /// Key of the taint to take off the node; only ever set with a node
    pub remove_taint: Option<String>,
    /// Write Events to pods that are refused.
    pub events: bool,
}

/// The socket that answers the node's operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketSetting {
    Off,
    /// The default path: if it can't be made, that is a warning.
    Preset(PathBuf),
    /// A path that was asked for
    Asked(PathBuf),
}

impl OperationConfig {
    pub(super) fn read(flags: &OperationFlags, node: Option<&str>) -> Result<Self, UsageError> {
        let state_dir = unless_empty(flags.state_dir.as_ref());
        let directory = |text: &str| absolute(text).filter(|_| text.len() <= LONGEST_STATE_DIR);
        let state_dir = state_dir.map(|given| given.read(A_DIRECTORY, directory)).transpose()?;
        let taint = unless_empty(flags.remove_taint.as_ref());
        let remove_taint = taint.map(|given| given.read("a taint's key: [PREFIX/]NAME", key)).transpose()?;
        if let (Some(taint), None) = (taint, node) {
            return Err(taint.conflict("allowed only with --node"));
        }
        Ok(Self {
            state_dir,
            control_socket: SocketSetting::read(&flags.control_socket)?,
            remove_taint,
            events: flags.events,
        })
    }
}

impl SocketSetting {
    fn read(given: &Given) -> Result<Self, UsageError> {
        if given.as_str().is_empty() {
            return Ok(Self::Off);
        }
        let path = given.read(A_SOCKET, |text| absolute(text).filter(|_| text.len() <= LONGEST_SOCKET))?;
        Ok(if given.is_typed() { Self::Asked(path) } else { Self::Preset(path) })
    }
}

fn absolute(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
}

fn key(text: &str) -> Option<String> {
    is_key(text).then(|| text.to_owned())
}

/// `sun_path` of Linux (unix(7)) less its closing zero.
const LONGEST_SOCKET: usize = 107;
/// With `/agent-01234567.sock` behind it, it must not be longer than a socket's path.
const LONGEST_STATE_DIR: usize = LONGEST_SOCKET - 20;
const A_DIRECTORY: &str = "a path from the root, of at most 87 bytes";
const A_SOCKET: &str = "a path from the root, of at most 107 bytes, or nothing";
