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
