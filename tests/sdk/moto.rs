//! moto's AWS with signature checks on: a wrong signature is refused, as by AWS itself.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::python::Python;
use crate::standins::agent::free_port;
use crate::standins::process::run_well;
use crate::tools::project;

/// A running server, ended when dropped.
pub struct Moto {
    server: Child,
    address: SocketAddr,
    /// The node's key: may assume any role, nothing else.
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// Where it listens, and what is there from the start.
pub struct Seed {
    pub host: Ipv4Addr,
    /// A script below `tests`: fills moto and prints the node's key
    pub script: &'static str,
    pub arguments: Vec<String>,
    /// That the script takes; moto checks none of these and all later ones
    pub actions: usize,
}

impl Seed {
    /// The roles of `tests/sdk`.
    #[allow(dead_code, reason = "the other clients have roles of their own")]
    pub fn roles() -> Self {
        Self { host: Ipv4Addr::LOCALHOST, script: "sdk/seed.py", arguments: Vec::new(), actions: 7 }
    }
}

impl Moto {
    pub fn start(python: &Python, seed: &Seed) -> Self {
        let port = free_port();
        let mut command = python.command("moto_server");
        command.args(["-H", &seed.host.to_string(), "-p", &port.to_string()]);
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", seed.actions.to_string());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start moto_server");
        let address = SocketAddr::from((seed.host, port));
        let mut moto = Self { server, address, access_key_id: String::new(), secret_access_key: String::new() };
        moto.wait();
        moto.seed(python, seed);
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

    fn seed(&mut self, python: &Python, seed: &Seed) {
        let script = project().join("tests").join(seed.script);
        let line = run_well(python.command("python").arg(script).arg(self.url()).args(&seed.arguments), START_LIMIT);
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
