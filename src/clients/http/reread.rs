//! Values made from files that other programs replace, such as certificates; made anew when a file changes.
//!
//! Kubernetes and kubelet replace files by swapping a symlink (`..data`, `kubelet-client-current.pem`); people
//! overwrite them. Both change the stat(2) result of the path. While the files are unusable, the last good value stays
//! in use, with a warning.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;
use parking_lot::Mutex;

use super::Misconfigured;

/// A value and the files it is made from. Without files it never changes.
pub(super) struct Reread<T> {
    paths: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, Misconfigured> + Send + Sync>,
    state: Mutex<FileState<T>>,
}

struct FileState<T> {
    value: Arc<T>,
    /// The files' stamps before they were last read; `None` forces a read
    stamps: Option<Vec<Option<Stamp>>>,
    /// Why the files are unusable; logged once
    trouble: Option<Misconfigured>,
}

impl<T: PartialEq> Reread<T> {
    /// Fails if no value can be made from the files.
    pub(super) fn new(
        paths: Vec<PathBuf>,
        make: impl Fn() -> Result<T, Misconfigured> + Send + Sync + 'static,
    ) -> Result<Self, Misconfigured> {
        let stamps = stamps(&paths);
        let state = FileState { value: Arc::new(make()?), stamps: Some(stamps), trouble: None };
        Ok(Self { paths, make: Box::new(make), state: Mutex::new(state) })
    }

    /// The value for the files' present content. The `Arc` changes only if the value does.
    pub(super) fn current(&self) -> Arc<T> {
        if self.paths.is_empty() {
            return self.last();
        }
        // Taken before reading: a file written meanwhile is read again on the next call.
        let stamps = stamps(&self.paths);
        if self.state.lock().stamps.as_ref() != Some(&stamps) {
            let made = (self.make)();
            if let Some(trouble) = self.take(stamps, made) {
                warn!("going on with the last usable version: {trouble}");
            }
        }
        self.last()
    }

    /// The last value, without checking the files.
    pub(super) fn last(&self) -> Arc<T> {
        Arc::clone(&self.state.lock().value)
    }

    /// Forces the next [`Reread::current`] to read the files: stat(2) can't distinguish two versions of the same length
    /// written within one tick of the clock.
    pub(super) fn invalidate(&self) {
        self.state.lock().stamps = None;
    }

    /// Stores the result; returns a failure that hasn't been logged yet.
    fn take(&self, stamps: Vec<Option<Stamp>>, made: Result<T, Misconfigured>) -> Option<Misconfigured> {
        let mut state = self.state.lock();
        state.stamps = Some(stamps);
        match made {
            Ok(value) => {
                state.trouble = None;
                if *state.value != value {
                    state.value = Arc::new(value);
                }
                None
            }
            Err(trouble) if state.trouble.as_ref() == Some(&trouble) => None,
            Err(trouble) => {
                state.trouble = Some(trouble.clone());
                Some(trouble)
            }
        }
    }
}

/// The stat(2) fields that differ between two versions of a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests;
