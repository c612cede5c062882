use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::os::threads;

/// A directory of one test, removed at its end.
struct SocketDirectory(PathBuf);

impl SocketDirectory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kube2iam-control-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    write!(stream, "GET {target} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn socket_is_private_and_serves_requests() {
    let directory = SocketDirectory::new("answers");
    let path = directory.0.join("deeper/control.sock");
    let socket = Arc::new(ControlSocket::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let serving = socket.clone();
    let thread = threads::spawn("control", threads::STACK_BYTES, move || {
        serving.serve(&|question| ControlAnswer {
            status: 418,
            json: format!("{} {:?}", question.path, question.parameter("pod")),
        });
    });
    let answer = ask(&path, "/explain?x=1&pod=a%2Fb");
    assert!(answer.starts_with("HTTP/1.0 418") && answer.contains("Content-Type: application/json"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/explain Some(\"a/b\")\n"), "{answer}");
    socket.close();
    thread.unwrap().join().unwrap();
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn successor_replaces_the_socket_and_keeps_it() {
    let directory = SocketDirectory::new("successor");
    let path = directory.0.join("control.sock");
    let first = ControlSocket::open(&path).unwrap();
    let second = ControlSocket::open(&path).unwrap();
    drop(first);
    assert!(UnixStream::connect(&path).is_ok());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn path_that_cannot_be_created_is_an_error() {
    let directory = SocketDirectory::new("error");
    let file = directory.0.join("file");
    fs::write(&file, "").unwrap();
    assert!(ControlSocket::open(&file.join("control.sock")).is_err());
}
