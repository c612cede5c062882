//! wrk, one thread and 31 connections, and nginx to compare with. From 32 connections of one address on the agent closes
//! them after each answer.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::standins::process::run_well;

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    Kept,
    OnePerRequest,
}

/// Whether a program is on the PATH.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).any(|dir| dir.join(program).is_file())
}

/// Answers per second that `server` gives to GET `path`; every one of them must be a 200.
pub fn rate(server: SocketAddr, path: &str, connections: Connections, length: Duration) -> f64 {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c31", "-d", &format!("{}s", length.as_secs()), "-H", "Host: 169.254.169.254"]);
    if connections == Connections::OnePerRequest {
        wrk.args(["-H", "Connection: close"]);
    }
    let told = run_well(wrk.arg(format!("http://{server}{path}")), length + Duration::from_secs(20)).unwrap();
    assert!(!told.contains("Non-2xx"), "not every answer was good:\n{told}");
    let line = told.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap();
    line.trim().parse().unwrap()
}

/// An nginx that returns one text, without an access log, on as many workers as there are processors.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    home: PathBuf,
}

impl Nginx {
    pub fn start(body: &str) -> Self {
        let home = std::env::temp_dir().join(format!("kube2iam-bench-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let body = body.replace('\\', "\\\\").replace('\'', "\\'");
        let configuration = format!(
            "daemon off; worker_processes auto; pid {home}/pid; error_log {home}/error.log;
             events {{ worker_connections 1024; }}
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {home};
                     server {{ listen {address} backlog=1024;
                               location / {{ default_type text/plain; return 200 '{body}'; }} }} }}",
            home = home.display()
        );
        fs::write(home.join("nginx.conf"), configuration).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-p", home.to_str().unwrap(), "-c", home.join("nginx.conf").to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let late = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < late, "nginx doesn't answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, address, home }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // The master must end its workers.
        let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}
