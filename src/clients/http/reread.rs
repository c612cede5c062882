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
mod tests {
    use super::*;

    /// A directory, removed on drop.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kube2iam-reread-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The text of a file; an empty one is unusable.
    fn text_of(path: &Path) -> Result<Reread<String>, Misconfigured> {
        let file = path.to_owned();
        Reread::new(vec![path.to_owned()], move || match fs::read_to_string(&file) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => Err(Misconfigured("unusable".to_owned())),
        })
    }

    #[test]
    fn replaced_or_overwritten_file_is_read_again() {
        let directory = Directory::new("replaced");
        let [current, first, second] = ["current.pem", "first.pem", "second.pem"].map(|name| directory.0.join(name));
        fs::write(&first, "first").unwrap();
        fs::write(&second, "other").unwrap();
        std::os::unix::fs::symlink(&first, &current).unwrap();
        let value = text_of(&current).unwrap();
        let before = value.current();
        assert!(*before == "first" && Arc::ptr_eq(&before, &value.current()));
        // as kubelet does: a new link is renamed over the old one
        let next = directory.0.join("next");
        std::os::unix::fs::symlink(&second, &next).unwrap();
        fs::rename(&next, &current).unwrap();
        assert_eq!(*value.current(), "other");
        fs::write(&second, "written over").unwrap();
        assert_eq!(*value.current(), "written over");
    }

    #[test]
    fn unusable_file_keeps_the_last_value() {
        let directory = Directory::new("unusable");
        let path = directory.0.join("file");
        assert!(text_of(&path).is_err());
        fs::write(&path, "good").unwrap();
        let value = text_of(&path).unwrap();
        for break_it in [|path: &Path| fs::write(path, "").unwrap(), |path: &Path| fs::remove_file(path).unwrap()] {
            break_it(&path);
            assert_eq!(*value.current(), "good");
        }
        assert_eq!(value.state.lock().trouble, Some(Misconfigured("unusable".to_owned())));
        fs::write(&path, "better").unwrap();
        assert_eq!(*value.current(), "better");
        assert_eq!(value.state.lock().trouble, None);
    }

    #[test]
    fn invalidated_files_with_the_same_content_keep_the_value() {
        let directory = Directory::new("suspected");
        let path = directory.0.join("file");
        fs::write(&path, "good").unwrap();
        let value = text_of(&path).unwrap();
        let before = value.current();
        value.invalidate();
        assert!(Arc::ptr_eq(&before, &value.current()));
    }
}
