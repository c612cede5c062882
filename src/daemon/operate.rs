//! What serves the node's operator while the agent runs.

use std::path::Path;
use std::sync::Arc;

use log::warn;

use super::build::Rooms;
use super::{StartError, redirect};
use crate::config::ControlSocket as Asked;
use crate::control::Control;
use crate::edge::control::ControlSocket;
use crate::edge::http::Limits;
use crate::edge::logs::LogLevel;
use crate::edge::threads;

/// An open control socket; closed, its file gone, when this is dropped.
pub(super) struct OperatorsDoor {
    open: Option<Arc<ControlSocket>>,
}

impl OperatorsDoor {
    /// Opens the socket if there is to be one, and answers. The default path may fail, with a warning.
    pub(super) fn open(rooms: &Arc<Rooms>, log: &LogLevel) -> Result<Self, StartError> {
        let (path, required) = match &rooms.config.operation.control_socket {
            Asked::Off => return Ok(Self { open: None }),
            Asked::Preset(path) => (path, false),
            Asked::Asked(path) => (path, true),
        };
        match ControlSocket::open(path) {
            Ok(socket) => Self::serve(socket, control(rooms, log)),
            Err(cause) if required => Err(failed(path, &cause)),
            Err(cause) => {
                warn!("{}; `kube2iam explain` and `status` can't reach this agent", failed(path, &cause));
                Ok(Self { open: None })
            }
        }
    }

    fn serve(socket: ControlSocket, control: Control) -> Result<Self, StartError> {
        let socket = Arc::new(socket);
        let serving = socket.clone();
        let work = move || serving.serve(&|question| control.answer(question));
        // not joined at the end: it may be writing to somebody who doesn't read
        threads::spawn("control", threads::STACK_BYTES, work)
            .map_err(|cause| StartError::new("start `control`", &cause))?;
        Ok(Self { open: Some(socket) })
    }
}

impl Drop for OperatorsDoor {
    fn drop(&mut self) {
        self.open.iter().for_each(|socket| socket.close());
    }
}

fn control(rooms: &Arc<Rooms>, log: &LogLevel) -> Control {
    let has_redirect = rooms.config.redirect.is_some();
    Control {
        service: rooms.service.clone(),
        node_credentials: rooms.node_credentials.clone(),
        annotations: rooms.config.kubernetes.keys.clone(),
        resources: rooms.config.watched(),
        node: rooms.config.kubernetes.node.clone(),
        shadow: rooms.config.operation.shadow.clone(),
        log: log.clone(),
        started: rooms.clock.now().mono,
        most_connections: Limits::default().connections,
        redirect: Box::new(move || has_redirect.then(redirect::report)),
    }
}

fn failed(path: &Path, cause: &std::io::Error) -> StartError {
    StartError::new(&format!("open the control socket `{}`", path.display()), cause)
}
