//! The directory shared by an agent and its successor (`--state-dir`).
//!
//! A process that can write to it can take over the listener and the token keys, so it belongs to the agent's own user
//! with mode 0700. Where agents of one node run as different users (root and, after a change of the manifests, an
//! unprivileged user), it belongs to root and is writable for one group as well, that of all agents. Only
//! [`StateDir::prepare`] grants the group access; an agent never does.

use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

/// A directory that only agents can write to.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// The user and group of a process at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
}

impl StateDir {
    /// Opens the directory at `path`; creates it if it is missing, and makes it private if others have access (as with
    /// one that the kubelet created for a hostPath).
    pub fn open(path: &Path) -> io::Result<Self> {
        let found = found_or_made(path)?;
        let (own_uid, own_gid) = (geteuid().as_raw(), getegid().as_raw());
        let is_shared = shared_with(&found) == Some(own_gid);
        if found.uid() == own_uid {
            if !is_shared && permissions(&found) != PRIVATE {
                set_permissions(path, Permissions::from_mode(PRIVATE))?;
            }
        } else if found.uid() != ROOT || !is_shared {
            return Err(io::Error::other(format!(
                "it belongs to user {}, not to the agent's ({own_uid}), and isn't open to group {own_gid} alone; \
                 prepare it with `kube2iam state-dir PATH`, as root with that group",
                found.uid()
            )));
        }
        Ok(Self(path.to_owned()))
    }

    /// Makes the directory at `path` usable for agents of any user in this process's group. Needs no capability: an
    /// owner may give a directory to one of its own groups.
    pub fn prepare(path: &Path) -> io::Result<Self> {
        let found = found_or_made(path)?;
        let (own_uid, own_gid) = (geteuid().as_raw(), getegid().as_raw());
        if own_uid != ROOT {
            return Err(io::Error::other(format!("this must run as root, it runs as user {own_uid}")));
        }
        if own_gid == ROOT {
            return Err(io::Error::other("this must run with the group of the agents, it runs with group 0"));
        }
        if found.uid() != ROOT {
            return Err(io::Error::other(format!("it belongs to user {}, not to root", found.uid())));
        }
        if shared_with(&found) != Some(own_gid) {
            lchown(path, None, Some(own_gid))?;
            set_permissions(path, Permissions::from_mode(SHARED))?;
        }
        Ok(Self(path.to_owned()))
    }

    /// Whether the peer process of a socket in this directory may be an agent: it runs as root or as this agent's user,
    /// or the directory belongs to its user or group. Reads the directory's mode each time, since it may have been
    /// shared with the group meanwhile.
    pub fn admits(&self, peer: Peer) -> io::Result<()> {
        let found = symlink_metadata(&self.0)?;
        if found.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(io::Error::other(format!("everybody may write to `{}`", self.0.display())));
        }
        let is_user = [ROOT, geteuid().as_raw(), found.uid()].contains(&peer.uid);
        if is_user || shared_with(&found) == Some(peer.gid) {
            return Ok(());
        }
        Err(io::Error::other(format!("a process of user {} and group {} is no agent", peer.uid, peer.gid)))
    }

    /// Gives the group access to a file or socket in here; whether the group can reach it depends on the directory.
    pub fn share(&self, path: &Path) -> io::Result<()> {
        set_permissions(path, Permissions::from_mode(SHARED_FILE))
    }

    /// Opens a file in here with `options`, and shares it.
    pub fn open_shared(&self, path: &Path, options: &mut OpenOptions) -> io::Result<std::fs::File> {
        let file = options.open(path)?;
        // Set after opening, since the umask applies then. A file owned by another user is shared already.
        if file.metadata()?.uid() == geteuid().as_raw() {
            file.set_permissions(Permissions::from_mode(SHARED_FILE))?;
        }
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of an entry in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn found_or_made(path: &Path) -> io::Result<Metadata> {
    let found = match symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(PRIVATE).create(path)?;
            symlink_metadata(path)?
        }
        found => found?,
    };
    if !found.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    Ok(found)
}

/// The group that may write to a directory besides its owner.
fn shared_with(found: &Metadata) -> Option<u32> {
    (permissions(found) == SHARED && found.gid() != ROOT).then(|| found.gid())
}

fn permissions(found: &Metadata) -> u32 {
    found.mode() & MODE_BITS
}

/// As a user id and as a group id.
const ROOT: u32 = 0;
const PRIVATE: u32 = 0o700;
const SHARED: u32 = 0o770;
const SHARED_FILE: u32 = 0o660;
const WRITABLE_BY_OTHERS: u32 = 0o002;
/// All mode bits except the file type.
const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
pub(crate) mod tests;
