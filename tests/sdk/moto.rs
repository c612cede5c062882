//! moto's STS and IAM with signature checks on: whoever signs wrongly is refused, as by AWS.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::python::Python;
use crate::standins::agent::free_port;
use crate::standins::process::run_well;

/// A running server, ended when dropped.
pub struct Moto {
    server: Child,
    address: SocketAddr,
    /// The node's key: may assume any role, nothing else.
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl Moto {
    pub fn start(python: &Python) -> Self {
        let port = free_port();
        let mut command = python.command("moto_server");
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("INITIAL_NO_AUTH_ACTION_COUNT", "7");
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start moto_server");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut moto = Self { server, address, access_key_id: String::new(), secret_access_key: String::new() };
        moto.wait();
        moto.seed(python);
        moto
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.server.try_wait().expect("ask after moto_server");
            assert!(ended.is_none() && Instant::now() < deadline, "moto_server doesn't listen ({ended:?})");
            std::thread::sleep(POLL);
        }
    }

    fn seed(&mut self, python: &Python) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/seed.py");
        let line = run_well(python.command("python").arg(script).arg(self.url()), START_LIMIT);
        let line = line.unwrap_or_else(|cause| panic!("{cause}"));
        let (id, secret) = line.trim().split_once(' ').expect("a key id and a key");
        (self.access_key_id, self.secret_access_key) = (id.to_owned(), secret.to_owned());
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A cold Python on a busy machine takes its time.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
