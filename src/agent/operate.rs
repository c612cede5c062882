//! What serves the node's operator while the agent runs.

use std::path::Path;
use std::sync::Arc;

use log::warn;

use super::{StartError, credentials_address, redirect};
use crate::agent::wiring::Rooms;
use crate::api::operator::Control;
use crate::config::ControlSocket as Asked;
use crate::os::control_socket::ControlSocket;
use crate::os::log_writer::LogLevel;
use crate::os::threads;
use crate::server::Limits;

/// An open control socket; closed, its file gone, when this is dropped.
pub(super) struct OperatorsDoor {
    open: Option<Arc<ControlSocket>>,
}

impl OperatorsDoor {
    /// Opens the socket if there is to be one, and answers. The default path may fail, with a warning.
    pub(super) fn open(rooms: &Arc<Rooms>, log: &LogLevel) -> Result<Self, StartError> {
        match socket(&rooms.config.operation.control_socket)? {
            Some(socket) => Self::serve(socket, control(rooms, log)),
            None => Ok(Self { open: None }),
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

/// The socket, if there is to be one and it can be made where it must be.
fn socket(asked: &Asked) -> Result<Option<ControlSocket>, StartError> {
    let (path, required) = match asked {
        Asked::Off => return Ok(None),
        Asked::Preset(path) => (path, false),
        Asked::Asked(path) => (path, true),
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

fn control(rooms: &Arc<Rooms>, log: &LogLevel) -> Control {
    let has_redirect = rooms.config.redirect.is_some();
    let has_address = rooms.config.credentials_address.is_some();
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
        credentials_address: Box::new(move || has_address.then(credentials_address::report)),
    }
}

fn failed(path: &Path, cause: &std::io::Error) -> StartError {
    StartError::new(&format!("open the control socket `{}`", path.display()), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_was_asked_for_may_end_the_start() {
        let path = Path::new("/dev/null/control.sock").to_owned();
        assert!(matches!(socket(&Asked::Preset(path.clone())), Ok(None)));
        assert!(matches!(socket(&Asked::Off), Ok(None)));
        let Err(error) = socket(&Asked::Asked(path)) else { panic!("a socket below a device") };
        assert!(
            error.to_string().starts_with("failed to open the control socket `/dev/null/control.sock`: "),
            "{error}"
        );
    }
}
