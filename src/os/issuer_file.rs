//! Stores the issuer of ServiceAccount tokens in a file of the state directory: an agent that starts while the API
//! server refuses the issuer's documents verifies tokens with the documents that an agent on this node last read. The
//! file doesn't help while the API server is unreachable: pods aren't stored, and until they are listed every request
//! gets `not_ready`. The file holds no secret, but a process that can write to it can make forged tokens valid; like
//! the whole directory, it is writable only for agents.

use std::fs::remove_file;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::state_dir::StateDir;
use super::state_file::{failed, read, replace};
use crate::logic::identity::issuer::{Issuer, LONGEST_RECORD};
use crate::ports::IssuerStore;

/// The file, and the draft that replaces it.
pub struct IssuerFile {
    dir: StateDir,
    file: PathBuf,
    draft: PathBuf,
}

impl IssuerFile {
    pub fn new(dir: &StateDir) -> Self {
        Self { dir: dir.clone(), file: dir.join(FILES[0]), draft: dir.join(FILES[1]) }
    }

    /// Deletes the files, when kube2iam is removed from the node.
    pub fn remove_all(dir: &StateDir) {
        for name in FILES {
            let _ = remove_file(dir.join(name)); // it may not exist
        }
    }
}

impl IssuerStore for IssuerFile {
    fn read(&self) -> Result<Option<Issuer>, String> {
        let text = match read(&self.file, LONGEST_RECORD) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| failed("read", &self.file, &error))?,
        };
        let issuer = std::str::from_utf8(&text).ok().filter(|text| text.len() <= LONGEST_RECORD);
        let issuer = issuer.and_then(Issuer::from_record);
        issuer.map(Some).ok_or_else(|| failed("read", &self.file, &"it holds something else than an issuer's keys"))
    }

    fn write(&self, issuer: &Issuer) -> Result<(), String> {
        let written = replace(&self.dir, &self.file, &self.draft, issuer.to_record().as_bytes());
        written.map_err(|error| failed("write", &self.file, &error))
    }

    fn remove(&self) -> Result<(), String> {
        match remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &self.file, &error)),
            _ => Ok(()),
        }
    }
}

/// The file and its draft.
const FILES: [&str; 2] = ["issuer-keys", "issuer-keys.new"];

#[cfg(test)]
mod tests;
