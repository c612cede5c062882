//! The key file, intact and damaged.

use std::fs::{create_dir, metadata, read, write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;
use crate::os::clock::SystemClock;
use crate::os::state_dir::tests::TestStateDir;

fn keys(secret: u8) -> TokenKeys {
    TokenKeys::new(&[secret; 32], Wall::from_unix_seconds(1_800_000_000))
}

fn file(place: &TestStateDir) -> KeyFile {
    KeyFile::new(&place.open(), Arc::new(SystemClock::new()))
}

fn record(found: Result<Option<TokenKeys>, String>) -> Option<Secret<String>> {
    found.unwrap().map(|keys| keys.to_record())
}

#[test]
fn keys_written_by_one_agent_are_read_by_another() {
    let place = TestStateDir::new();
    let (old, new) = (file(&place), file(&place));
    assert_eq!(record(new.read()), None);
    old.update(&mut |found| found.unwrap().is_none().then(|| keys(1))).unwrap();
    assert_eq!(record(new.read()), Some(keys(1).to_record()));
    new.update(&mut |found| found.unwrap().map(|_| keys(2))).unwrap();
    assert_eq!(record(old.read()), Some(keys(2).to_record()));
    old.update(&mut |_| None).unwrap();
    assert_eq!(record(old.read()), Some(keys(2).to_record()));
    assert_eq!(metadata(&old.file).unwrap().mode() & 0o7777, 0o660);
    assert!(!old.draft.exists());
}

#[test]
fn invalid_record_is_reported_and_replaced() {
    type Spoil = fn(&Path);
    let spoils: [Spoil; 4] = [
        |path| write(path, "").unwrap(),
        |path| write(path, [0xff; 100]).unwrap(),
        |path| write(path, vec![b'0'; 1 << 20]).unwrap(),
        |path| symlink("/etc/hostname", path).unwrap(),
    ];
    for spoil in spoils {
        let place = TestStateDir::new();
        let file = file(&place);
        spoil(&file.file);
        assert!(file.read().is_err());
        file.update(&mut |found| found.is_err().then(|| keys(1))).unwrap();
        assert_eq!(record(file.read()), Some(keys(1).to_record()));
    }
}

#[test]
fn named_pipe_in_place_of_the_file_does_not_block() {
    let place = TestStateDir::new();
    let file = file(&place);
    let directory = rustix::fs::open(place.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(directory, "token-keys", rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(file.read().is_err());
    file.update(&mut |_| Some(keys(1))).unwrap();
    assert!(file.read().is_ok());
}

#[test]
fn failure_to_replace_the_file_is_reported() {
    let place = TestStateDir::new();
    let file = file(&place);
    create_dir(&file.file).unwrap();
    create_dir(file.file.join("below")).unwrap();
    assert!(file.update(&mut |_| Some(keys(1))).is_err());
    assert!(file.read().is_err());
}

#[test]
fn stuck_lock_times_out() {
    let place = TestStateDir::new();
    let (stuck, other) = (file(&place), file(&place));
    stuck.update(&mut |_| Some(keys(1))).unwrap();
    let _held = stuck.lock().unwrap();
    let mut asked = false;
    other
        .update(&mut |_| {
            asked = true;
            None
        })
        .unwrap_err();
    assert!(!asked);
    assert_eq!(record(other.read()), Some(keys(1).to_record()), "reading takes no lock");
}

#[test]
fn leftover_draft_is_overwritten() {
    let place = TestStateDir::new();
    let file = file(&place);
    write(&file.draft, "half a rec").unwrap();
    file.update(&mut |_| Some(keys(1))).unwrap();
    assert_eq!(read(&file.file).unwrap(), keys(1).to_record().expose().as_bytes());
}
