//! The playground's own directory: control socket, log, and `kube2iam` as a command. Nobody else may enter it, and it
//! goes with the playground.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::kube2iam_process::WORD;

pub struct Workspace {
    directory: PathBuf,
}

impl Workspace {
    /// Makes it, with a command `kube2iam` that runs `program`.
    pub fn create(program: &Path) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("kube2iam-playground-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let workspace = Self { directory };
        fs::write(workspace.command(), script(program, &workspace.socket()))?;
        fs::set_permissions(workspace.command(), Permissions::from_mode(0o700))?;
        Ok(workspace)
    }

    /// Runs kube2iam and names the agent's control socket to it.
    pub fn command(&self) -> PathBuf {
        self.directory.join("kube2iam")
    }

    /// Where the agent answers its operator.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Where the agent keeps what its successor would need; without it, any process of this user could share its port.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The ServiceAccount token of a pod, as the kubelet would mount it there.
    pub fn token(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// What the agent logs.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory); // it is in the directory for temporary files
    }
}

fn script(program: &Path, socket: &Path) -> String {
    let [program, socket] = [program, socket].map(|path| quoted(&path.display().to_string()));
    format!("#!/bin/sh\nexec {program} {WORD} \"$@\" --socket={socket}\n")
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
