use super::*;
use rustix::process::{getegid, geteuid};

#[test]
fn own_credentials_are_read() {
    let (one, _other) = UnixStream::pair().unwrap();
    let own = Peer { uid: geteuid().as_raw(), gid: getegid().as_raw() };
    assert_eq!(credentials(&one).unwrap(), own);
}
