//! The directory through which an agent and its successor meet (`--state-dir`).
//!
//! What lies in it gives away this node's pods, so nobody else may look inside: it belongs to the agent's own user and
//! has mode 0700. Whoever can put a file there is taken for an agent.

use std::fs::{DirBuilder, Permissions, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// A directory that is the agent's alone.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Takes the directory at `path` into use; makes it if there is none, shuts it if it is open to others (as the one
    /// that a kubelet makes for a hostPath is).
    pub fn open(path: &Path) -> io::Result<Self> {
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
        if found.uid() != geteuid().as_raw() {
            return Err(io::Error::other(format!("it belongs to user {}, not to the agent's", found.uid())));
        }
        if found.mode() & EVERYTHING != PRIVATE {
            set_permissions(path, Permissions::from_mode(PRIVATE))?;
        }
        Ok(Self(path.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

const PRIVATE: u32 = 0o700;
/// All bits of a mode but the kind of file.
const EVERYTHING: u32 = 0o7777;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A place for a state directory, away again at the end.
    pub(crate) struct Place(PathBuf);

    impl Place {
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

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        symlink_metadata(path).unwrap().mode() & EVERYTHING
    }

    #[test]
    fn it_is_made_private_and_an_open_one_is_shut() {
        let place = Place::new();
        assert_eq!(mode(place.open().path()), PRIVATE);
        set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(mode(place.open().path()), PRIVATE);
    }

    #[test]
    fn neither_a_file_nor_a_link_is_taken() {
        let place = Place::new();
        let dir = place.open();
        std::fs::write(dir.join("file"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.join("link")).unwrap();
        for name in ["file", "link", "file/below"] {
            assert!(StateDir::open(&dir.join(name)).is_err(), "{name}");
        }
    }
}
