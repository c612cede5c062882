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
