//! The real agent as a child process: started with flags and environment, watched until ready, its log captured,
//! ended by SIGTERM. Nothing of this process's own environment reaches it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::client::{Ask, Connection};
pub use super::ports::free_port;
use super::wire::spawn;
use super::{PATIENCE, process};

/// The built binary under test.
pub fn test_binary() -> &'static Path {
    let path = option_env!("CARGO_BIN_EXE_kube2iam");
    Path::new(path.unwrap_or_else(|| panic!("cargo names the binary to integration tests only")))
}

/// An agent that hasn't been started yet.
#[derive(Clone)]
pub struct Setup {
    program: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    port: Option<u16>,
    until: Until,
    ears: Ears,
    network: Network,
    /// Where its log is written too
    log_file: Option<PathBuf>,
}

/// Whether the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ears {
    Open,
    Shut,
}

/// Whether the agent may change the network of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// Not by container credentials, whose address would outlive the agent
    Kept,
    Changed,
}

/// How far a start is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// `/readyz` says 200: both lists are in.
    Ready,
    /// It answers at all.
    Listening,
    Started,
}

/// What a program that ends by itself leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Setup {
    pub fn of(program: &Path) -> Self {
        let (flags, environment, program) = (Vec::new(), Vec::new(), program.to_owned());
        Self {
            program,
            flags,
            environment,
            port: None,
            until: Until::Ready,
            ears: Ears::Open,
            network: Network::Kept,
            log_file: None,
        }
    }

    /// Adds flags; a later one wins.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self = self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Another app port than a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Its log is written to nowhere: for measuring, since reading it costs more than writing it.
    pub fn no_trace(mut self) -> Self {
        self.ears = Ears::Shut;
        self
    }

    /// It may set up the address of container credentials on this machine, and takes it away when it ends.
    pub fn may_set_up_the_address(mut self) -> Self {
        self.network = Network::Changed;
        self.flags(&["--redirect-on-exit=remove"])
    }

    /// Writes its log to a file too, as it comes.
    pub fn log_to(mut self, file: &Path) -> Self {
        self.log_file = Some(file.to_owned());
        self
    }

    /// What would be run, to be run in another way.
    pub fn command_line(&self, port: u16) -> Command {
        self.command(Some(port))
    }

    /// Starts it and waits as far as told; fails the test with its log if that takes over [`PATIENCE`].
    pub fn start(self) -> Agent {
        let port = self.port.unwrap_or_else(free_port);
        let until = self.until;
        let mut child = self.command(Some(port)).stdout(Stdio::null()).spawn().unwrap_or_else(|cause| {
            panic!("failed to start `{}`: {cause}", self.program.display());
        });
        let log = Arc::new(Log::default());
        if let Some(stderr) = child.stderr.take() {
            let (capture, file) =
                (log.clone(), self.log_file.map(|path| File::create(path).expect("make the log's file")));
            spawn("agent-log", move || capture.fill(stderr, file));
        }
        let mut agent = Agent { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), log };
        agent.wait_until(until);
        agent
    }

    /// Runs a program that should end by itself, as with `--version` or a bad flag; fails the test if it takes longer.
    pub fn run(self) -> Outcome {
        let output = process::run(&mut self.command(None), PATIENCE).unwrap_or_else(|cause| panic!("{cause}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn command(&self, port: Option<u16>) -> Command {
        let mut command = self.program();
        command.args(&self.flags).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Coverage of the child is written where this says.
        command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
        command.args(port.map(|port| format!("--app-port={port}")));
        let stderr = if self.ears == Ears::Open { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::null()).stderr(stderr);
        command
    }
}

impl Setup {
    /// With container credentials an agent of root would set up 169.254.170.2 on the machine that runs the tests; those
    /// about that address have a network namespace of their own.
    fn program(&self) -> Command {
        let sets_up_the_address = self.flags.iter().any(|flag| flag == "--container-credentials");
        let may = self.network == Network::Changed || has_a_network_of_its_own();
        if !sets_up_the_address || may || !rustix::process::geteuid().is_root() {
            return Command::new(&self.program);
        }
        let mut without_right = Command::new("/usr/bin/setpriv");
        without_right.args(["--bounding-set=-net_admin", "--"]).arg(&self.program);
        without_right
    }
}

/// Whether this thread is in another network namespace than the process was started in.
fn has_a_network_of_its_own() -> bool {
    let network = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net"));
    matches!((network("thread-self"), network("self")), (Ok(own), Ok(first)) if own != first)
}

/// A running agent, ended when dropped.
pub struct Agent {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: ExitStatus,
    pub took: Duration,
}

impl Agent {
    /// Where it listens for pods.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far, line by line.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().clone()
    }

    /// The log lines from number `first` on, waiting for one for at most `limit`.
    pub fn log_from(&self, first: usize, limit: Duration) -> Vec<String> {
        let mut lines = self.log.lines.lock();
        if lines.len() <= first {
            self.log.changed.wait_for(&mut lines, limit);
        }
        lines.get(first..).unwrap_or_default().to_vec()
    }

    /// Waits for a log line that contains `part` and gives it; fails the test after [`PATIENCE`].
    pub fn wait_for_log(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let late = self.log.changed.wait_until(&mut lines, deadline).timed_out();
            assert!(!late, "waited in vain for `{part}` in the log:\n{}", lines.join("\n"));
        }
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&mut self) {
        self.wait_until(Until::Ready);
    }

    /// The same for a crowd of pods that takes longer to list.
    pub fn wait_ready_within(&mut self, limit: Duration) {
        self.await_state(Until::Ready, limit);
    }

    /// `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask after a child")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a child has a pid"), signal);
    }

    /// SIGTERM, then waits for the end; after 8 s SIGKILL.
    pub fn stop(&mut self) -> Ended {
        let start = Instant::now();
        if self.exit_status().is_none() {
            self.signal(rustix::process::Signal::TERM);
        }
        let status = wait(&mut self.child, GRACE).unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().expect("wait for a killed child")
        });
        Ended { status, took: start.elapsed() }
    }

    fn wait_until(&mut self, until: Until) {
        self.await_state(until, PATIENCE);
    }

    fn await_state(&mut self, until: Until, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.has_come_to(until) {
            let ended = self.exit_status();
            if ended.is_some() || Instant::now() > deadline {
                let state = ended.map_or("still running".to_owned(), |status| status.to_string());
                // The last lines may still be in the pipe.
                std::thread::sleep(POLL);
                panic!("the agent is not {until:?} ({state}); its log:\n{}", self.log().join("\n"));
            }
            std::thread::sleep(POLL);
        }
    }

    fn has_come_to(&self, until: Until) -> bool {
        let path = match until {
            Until::Started => return true,
            Until::Ready => "/readyz",
            Until::Listening => "/healthz",
        };
        let Ok(mut connection) = Connection::try_open(self.address, "127.0.0.1") else { return false };
        connection.set_deadline(Duration::from_secs(2));
        connection.send(&Ask::get(path).host(&self.address.to_string()).to_bytes());
        connection.read_answer().is_ok_and(|answer| until == Until::Listening || answer.status == 200)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Log {
    fn fill(&self, stderr: impl Read, mut file: Option<File>) {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if let Some(file) = &mut file {
                let _ = file.write_all(&[&line[..], b"\n"].concat()); // the lines are here too
            }
            self.lines.lock().push(String::from_utf8_lossy(&line).into_owned());
            self.changed.notify_all();
        }
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        let status = child.try_wait().expect("ask after a child");
        if status.is_some() || Instant::now() > deadline {
            return status;
        }
        std::thread::sleep(POLL);
    }
}

/// The agent promises to be gone within 5 s, of which it may spend 4.6 waiting; a machine that does much else gets three
/// more. The kubelet gives 10.
const GRACE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(5);
