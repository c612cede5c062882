//! Stores the token keys in a file of the state directory, shared by all agents that can reach it.
//!
//! Readers take no lock: the file is replaced atomically and never changed. Writers lock the lock file, so that of two
//! agents rotating at once one sees the other's keys. Nothing is synced to disk: after a power cut the tokens are
//! useless anyway.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::state_dir::StateDir;
use super::state_file::{PRIVATE, SAFE, failed, read, replace};
use crate::logic::identity::metadata_token::{LONGEST_RECORD, TokenKeys};
use crate::ports::{Clock, KeyStore};

/// The file, its lock file, and the draft that replaces it.
pub struct KeyFile {
    dir: StateDir,
    file: PathBuf,
    lock: PathBuf,
    draft: PathBuf,
    clock: Arc<dyn Clock>,
}

impl KeyFile {
    pub fn new(dir: &StateDir, clock: Arc<dyn Clock>) -> Self {
        Self { dir: dir.clone(), file: dir.join(FILES[0]), lock: dir.join(FILES[1]), draft: dir.join(FILES[2]), clock }
    }

    /// Takes the lock; it is held until the returned file is dropped.
    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(PRIVATE).custom_flags(SAFE);
        let lock = self.dir.open_shared(&self.lock, &mut options)?;
        let deadline = self.clock.now().mono.after(LOCK_TIMEOUT);
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if self.clock.now().mono >= deadline {
                return Err(error.into());
            }
            thread::park_timeout(LOCK_POLL);
        }
        Ok(lock)
    }

    /// Deletes the files, when kube2iam is removed from the node.
    pub fn remove(dir: &StateDir) {
        for name in FILES {
            let _ = remove_file(dir.join(name)); // it may not exist
        }
    }

    fn write(&self, keys: &TokenKeys) -> io::Result<()> {
        replace(&self.dir, &self.file, &self.draft, keys.to_record().expose().as_bytes())
    }
}

impl KeyStore for KeyFile {
    fn read(&self) -> Result<Option<TokenKeys>, String> {
        let text = match read(&self.file, LONGEST_RECORD) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| failed("read", &self.file, &error))?,
        };
        let keys = std::str::from_utf8(&text).ok().and_then(TokenKeys::from_record);
        keys.map(Some).ok_or_else(|| failed("read", &self.file, &"it holds something else than keys of tokens"))
    }

    fn update(
        &self,
        change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
    ) -> Result<(), String> {
        let _locked = self.lock().map_err(|error| failed("lock", &self.lock, &error))?;
        match change(self.read()) {
            Some(keys) => self.write(&keys).map_err(|error| failed("write", &self.file, &error)),
            None => Ok(()),
        }
    }
}

/// The file, its lock file and its draft.
const FILES: [&str; 3] = ["token-keys", "token-keys.lock", "token-keys.new"];
/// The lock is held for one read and one write of a small file; a process that holds it longer is stuck.
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);
const LOCK_POLL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
