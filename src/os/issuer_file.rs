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
mod tests {
    use std::fs::{metadata, write};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use super::*;
    use crate::logic::base::time::Wall;
    use crate::logic::identity::issuer::IssuerDocuments;
    use crate::os::state_dir::tests::TestStateDir;

    fn issuer(name: &str) -> Issuer {
        let key_set = r#"{"keys":[{"kty":"RSA","kid":"k","n":"_w","e":"AQAB"}]}"#.to_owned();
        let documents = IssuerDocuments { configuration: format!(r#"{{"issuer":"{name}"}}"#), key_set };
        Issuer::read(&documents, Wall::from_unix_seconds(1_800_000_000)).unwrap()
    }

    #[test]
    fn written_issuer_is_read_by_the_next_agent() {
        let place = TestStateDir::new();
        let file = IssuerFile::new(&place.open());
        assert!(file.read().unwrap().is_none());
        for name in ["https://one", "https://two"] {
            file.write(&issuer(name)).unwrap();
            let found = IssuerFile::new(&place.open()).read().unwrap().unwrap();
            assert!(found.agrees_with(&issuer(name)) && found.read == issuer(name).read);
        }
        assert_eq!(metadata(&file.file).unwrap().mode() & 0o7777, 0o660);
        for _ in 0..2 {
            file.remove().unwrap();
            assert!(file.read().unwrap().is_none());
        }
        file.write(&issuer("https://three")).unwrap();
        IssuerFile::remove_all(&place.open());
        assert!(file.read().unwrap().is_none() && !file.draft.exists());
    }

    #[test]
    fn planted_or_damaged_issuer_file_is_reported_and_replaced() {
        type Spoil = fn(&Path);
        let spoils: [Spoil; 5] = [
            |path| write(path, "").unwrap(),
            |path| write(path, [0xff; 100]).unwrap(),
            |path| write(path, format!("{}{}", " ".repeat(LONGEST_RECORD), issuer("https://far").to_record())).unwrap(),
            |path| {
                let elsewhere = path.with_extension("elsewhere");
                write(&elsewhere, issuer("https://planted").to_record()).unwrap();
                symlink(elsewhere, path).unwrap();
            },
            |path| {
                let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            },
        ];
        for spoil in spoils {
            let place = TestStateDir::new();
            let file = IssuerFile::new(&place.open());
            spoil(&file.file);
            assert!(file.read().is_err());
            file.write(&issuer("https://one")).unwrap();
            assert!(file.read().unwrap().is_some());
        }
    }
}
