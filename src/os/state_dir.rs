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
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::process::Gid;
    use rustix::thread::set_thread_gid;

    /// A path for a state directory, removed on drop.
    pub(crate) struct TestStateDir(PathBuf);

    impl TestStateDir {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("kube2iam-state-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            Self(std::env::temp_dir().join(name))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }

        pub(crate) fn open(&self) -> StateDir {
            StateDir::open(&self.0).unwrap()
        }
    }

    impl Drop for TestStateDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        symlink_metadata(path).unwrap().mode() & MODE_BITS
    }

    #[test]
    fn directory_is_created_private_and_an_open_one_made_private() {
        let place = TestStateDir::new();
        assert_eq!(mode(place.open().path()), PRIVATE);
        set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(mode(place.open().path()), PRIVATE);
    }

    #[test]
    fn files_and_links_are_rejected() {
        let place = TestStateDir::new();
        let dir = place.open();
        std::fs::write(dir.join("file"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.join("link")).unwrap();
        for name in ["file", "link", "file/below"] {
            assert!(StateDir::open(&dir.join(name)).is_err(), "{name}");
        }
    }

    /// Runs `work` on a thread with another group; group ids belong to threads.
    fn with_group(group: u32, work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let run = || {
                set_thread_gid(Gid::from_raw(group)).unwrap();
                work();
            };
            scope.spawn(run).join().unwrap();
        });
    }

    fn owned_by(path: &Path, uid: u32, gid: u32, mode: u32) {
        lchown(path, Some(uid), Some(gid)).unwrap();
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_prepare_shares_with_the_group() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a directory to a group");
            return;
        }
        let place = TestStateDir::new();
        place.open();
        assert!(StateDir::prepare(place.path()).is_err(), "group 0 isn't a group of agents");
        with_group(AGENTS, || {
            assert_eq!(mode(place.open().path()), PRIVATE);
            StateDir::prepare(place.path()).unwrap();
            assert_eq!(mode(place.open().path()), SHARED);
            assert_eq!(symlink_metadata(place.path()).unwrap().gid(), AGENTS);
        });
        assert_eq!(mode(place.open().path()), PRIVATE, "it was shared with a group other than this agent's");
    }

    #[test]
    fn only_agents_are_admitted_and_none_in_a_world_writable_directory() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a directory to others");
            return;
        }
        let place = TestStateDir::new();
        let dir = place.open();
        let admits = |uid, gid| dir.admits(Peer { uid, gid }).is_ok();
        for (uid, gid, directory_mode, wanted) in [
            (ROOT, ROOT, PRIVATE, true),
            (AGENTS, AGENTS, PRIVATE, false),
            (AGENTS, AGENTS, SHARED, true),
            (AGENTS + 1, AGENTS, SHARED, true),
            (AGENTS, AGENTS + 1, SHARED, false),
            (AGENTS, ROOT, SHARED, false),
            (ROOT, ROOT, 0o777, false),
            (AGENTS, AGENTS, 0o772, false),
        ] {
            owned_by(place.path(), ROOT, AGENTS, directory_mode);
            assert_eq!(admits(uid, gid), wanted, "{uid}:{gid}, {directory_mode:o}");
        }
        owned_by(place.path(), ROOT, ROOT, SHARED);
        assert!(!admits(AGENTS, ROOT), "group 0 isn't a group of agents");
        owned_by(place.path(), AGENTS, AGENTS, PRIVATE);
        assert!(admits(AGENTS, ROOT));
        assert!(StateDir::open(place.path()).is_err(), "it belongs to another user");
    }

    const AGENTS: u32 = 65_532;
}
