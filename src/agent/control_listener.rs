//! Serves the control socket while the agent runs.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use log::warn;

use super::{StartError, credentials_address, redirect};
use crate::agent::state::AgentState;
use crate::api::operator::Control;
use crate::config::SocketSetting;
use crate::os::control_socket::ControlSocket;
use crate::os::log_writer::LogLevel;
use crate::os::threads;
use crate::server::Limits;

/// An open control socket, closed and removed on drop.
pub(super) struct ControlListener {
    open: Option<Arc<ControlSocket>>,
}

impl ControlListener {
    /// Opens the socket, if configured, and serves it. A failure at the default path is only a warning.
    pub(super) fn open(agent: &Arc<AgentState>, log: &LogLevel) -> Result<Self, StartError> {
        match socket(&agent.config.operation.control_socket)? {
            Some(socket) => Self::serve(socket, control(agent, log)),
            None => Ok(Self { open: None }),
        }
    }

    fn serve(socket: ControlSocket, control: Control) -> Result<Self, StartError> {
        let socket = Arc::new(socket);
        let serving = socket.clone();
        let work = move || serving.serve(&|question| control.answer(question));
        // not joined at the end: it may be blocked writing to a client that doesn't read
        threads::spawn("control", threads::STACK_BYTES, work)
            .map_err(|cause| StartError::new("start `control`", &cause))?;
        Ok(Self { open: Some(socket) })
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        self.open.iter().for_each(|socket| socket.close());
    }
}

/// Opens the socket; `None` if it is disabled, or can't be opened at the default path.
fn socket(asked: &SocketSetting) -> Result<Option<ControlSocket>, StartError> {
    let (path, required) = match asked {
        SocketSetting::Off => return Ok(None),
        SocketSetting::Preset(path) => (path, false),
        SocketSetting::Asked(path) => (path, true),
    };
    match ControlSocket::open(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(cause) if required => Err(failed(path, &cause)),
        Err(cause) => {
            warn!("{}; `kube2iam explain` and `status` can't reach this agent", failed(path, &cause));
            Ok(None)
        }
    }
}

fn control(agent: &Arc<AgentState>, log: &LogLevel) -> Control {
    let has_redirect = agent.config.redirect.is_some();
    let (has_address, facts) = (agent.config.credentials_address.is_some(), agent.facts.clone());
    Control {
        service: agent.service.clone(),
        node_credentials: agent.node_credentials.clone(),
        annotations: agent.config.kubernetes.keys.clone(),
        resources: agent.config.watched(),
        api_server: agent.kubernetes.server().to_owned(),
        node: agent.config.kubernetes.node.clone(),
        log: log.clone(),
        started: agent.clock.now().mono,
        most_connections: Limits::default().connections,
        redirect: Box::new(move || has_redirect.then(redirect::report)),
        credentials_address: Box::new(move || has_address.then(|| credentials_address::agents_report(&facts))),
    }
}

fn failed(path: &Path, cause: &std::io::Error) -> StartError {
    let advice = match cause.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound => {
            "; mount a directory there that the agent's user may write to, or give another --control-socket, or an \
             empty one to do without"
        }
        _ => "",
    };
    StartError::new(&format!("open the control socket `{}`", path.display()), &format!("{cause}{advice}"))
}

#[cfg(test)]
mod tests;
