//! Small files in the state directory, replaced atomically and never changed, so that readers need no lock.

use std::fs::{OpenOptions, remove_file, rename};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::state_dir::StateDir;

/// Reads at most `longest + 1` bytes of a regular file, so that the caller sees when it is too long.
pub(super) fn read(path: &Path, longest: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(SAFE).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(longest + 1));
    file.take(longest as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Writes `bytes` to `draft` and renames it to `file`.
pub(super) fn replace(dir: &StateDir, file: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Err(error) = remove_file(draft)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    let mut written = dir.open_shared(draft, options.write(true).create_new(true).mode(PRIVATE))?;
    written.write_all(bytes)?;
    rename(draft, file)
}

pub(super) fn failed(verb: &str, path: &Path, cause: &dyn std::fmt::Display) -> String {
    format!("failed to {verb} `{}`: {cause}", path.display())
}

/// The mode until the file is shared.
pub(super) const PRIVATE: u32 = 0o600;
/// Don't follow symbolic links, and don't block on a pipe.
pub(super) const SAFE: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
