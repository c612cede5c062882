//! The SDKs: which there are, how each is got, and a program that does nothing but use it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::kit::kept;
use crate::python::{Python, REQUIREMENTS};
use crate::standins::process::{run, run_well};
use crate::standins::wire::spawn;
use crate::tools::{project, skip};

/// An SDK, unmodified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Boto3,
    AwsCli,
    JavaScript,
    Rust,
    /// The release that asks at `security-credentials-extended` first.
    RustExtended,
}

impl Client {
    pub const ALL: [Self; 5] = [Self::Boto3, Self::AwsCli, Self::JavaScript, Self::Rust, Self::RustExtended];

    /// Its name and the version that is pinned.
    pub fn title(self) -> String {
        let (name, pins, before, after) = match self {
            Self::Boto3 => ("boto3", REQUIREMENTS, "boto3==", "\n"),
            Self::AwsCli => ("AWS CLI", REQUIREMENTS, "awscli==", "\n"),
            Self::JavaScript => ("JavaScript", PACKAGE, "client-sts\": \"", "\""),
            Self::Rust => ("Rust", MANIFEST, "aws-config = { version = \"=", "\""),
            Self::RustExtended => ("Rust", EXTENDED_MANIFEST, "aws-config = { version = \"=", "\""),
        };
        let version = pins.split_once(before).and_then(|(_, rest)| rest.split(after).next());
        format!("{name} {}", version.expect("a pinned version"))
    }
}

/// All that could be installed or built here.
pub struct Kits {
    pub python: Python,
    node: Option<PathBuf>,
    rust: Option<PathBuf>,
    rust_extended: Option<PathBuf>,
}

impl Kits {
    /// `None` without Python: no moto then. What else is missing is said aloud, and is a failure with `CI` set.
    pub fn prepare() -> Option<Self> {
        let python = Python::prepare()?;
        let node = heard("the SDK for JavaScript (packages from npm)", install_node(&python));
        let rust = heard("the SDK for Rust (crates from crates.io)", build("rust", "who-am-i"));
        let extended = build("rust-extended", "who-am-i-extended");
        let rust_extended = heard("an older SDK for Rust (crates from crates.io)", extended);
        Some(Self { python, node, rust, rust_extended })
    }

    pub fn have(&self, client: Client) -> bool {
        self.program(client).is_some()
    }

    /// A program that hears lines, or one call of the CLI. Nothing is told to it yet.
    fn program(&self, client: Client) -> Option<Command> {
        let bare = |path: &Path| {
            let mut command = Command::new(path);
            command.env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR"));
            command
        };
        Some(match client {
            Client::Boto3 => {
                let mut command = self.python.command("python");
                command.arg(project().join("tests/sdk/who_am_i.py"));
                command
            }
            Client::AwsCli => {
                let mut command = self.python.command("aws");
                command.args(["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]);
                command
            }
            Client::JavaScript => {
                let mut command = self.python.command("node");
                command.arg(self.node.as_ref()?.join("who_am_i.mjs"));
                command
            }
            Client::Rust => bare(self.rust.as_ref()?),
            Client::RustExtended => bare(self.rust_extended.as_ref()?),
        })
    }

    /// The program in a pod: it knows where metadata and STS are, nothing else.
    pub fn start(&self, client: Client, metadata: SocketAddr, sts: &str) -> Program {
        let mut command = self.program(client).expect("a client that is there");
        command
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{metadata}"))
            .env("AWS_ENDPOINT_URL", sts)
            .envs([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")])
            // A busy machine is not what's tested.
            .envs([("AWS_METADATA_SERVICE_TIMEOUT", "20"), ("CHAIN_TIMEOUT_MS", "20000")]);
        if client == Client::AwsCli { Program::EachTime(command) } else { Program::Lasting(Lasting::of(command)) }
    }

    /// The program in a pod that shows a token: it knows where to, and where STS is, nothing else.
    pub fn start_in_container(&self, client: Client, uri: &str, token: &Path, sts: &str) -> Program {
        let mut command = self.program(client).expect("a client that is there");
        command
            .envs([("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri), ("AWS_ENDPOINT_URL", sts)])
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
            .envs([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")])
            // Who falls back to the metadata address would be seen there.
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", uri.trim_end_matches("/v1/credentials"));
        if client == Client::AwsCli { Program::EachTime(command) } else { Program::Lasting(Lasting::of(command)) }
    }

    /// The same with credentials of one's own, and no metadata service.
    pub fn start_with_key(&self, client: Client, sts: &str, id: &str, secret: &str) -> Program {
        let mut command = self.program(client).expect("a client that is there");
        command
            .envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_ENDPOINT_URL", sts)])
            .envs([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")])
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if client == Client::AwsCli { Program::EachTime(command) } else { Program::Lasting(Lasting::of(command)) }
    }
}

/// A running program, or a command line that is run each time.
pub enum Program {
    EachTime(Command),
    Lasting(Lasting),
}

impl Program {
    /// One that hears lines.
    pub fn lasting(command: Command) -> Self {
        Self::Lasting(Lasting::of(command))
    }

    /// The ARN that STS knows it by, or `error: ...`.
    pub fn who(&mut self) -> String {
        match self {
            Self::Lasting(lasting) => lasting.ask("who"),
            Self::EachTime(command) => {
                let output = run(command, LIMIT).unwrap_or_else(|cause| panic!("{cause}"));
                if output.status.success() {
                    return String::from_utf8_lossy(&output.stdout).trim().to_owned();
                }
                format!("error: {}", String::from_utf8_lossy(&output.stderr).trim())
            }
        }
    }

    /// Puts its clock forward; what is started each time remembers nothing that could grow old. Its answer also says
    /// that it has seen which of its connections have ended.
    pub fn later(&mut self, seconds: u32) {
        if let Self::Lasting(lasting) = self {
            assert_eq!(lasting.ask(&format!("later {seconds}")), "ok");
        }
    }
}

/// A child that answers one line with one line, ended when dropped.
pub struct Lasting {
    child: Child,
    stdin: ChildStdin,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Lasting {
    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("failed to start `{command:?}`: {cause}"));
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = lines(child.stdout.take().expect("stdout is piped"));
        let stderr = lines(child.stderr.take().expect("stderr is piped"));
        Self { child, stdin, stdout, stderr }
    }

    fn ask(&mut self, line: &str) -> String {
        // One that has ended is found out below.
        let _ = writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush());
        self.stdout.recv_timeout(LIMIT).unwrap_or_else(|cause| {
            let _ = self.child.kill();
            panic!("no answer to `{line}` ({cause}): {}", self.stderr.iter().collect::<Vec<_>>().join("\n"))
        })
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    spawn("program", move || {
        let _ = BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
    });
    receiver
}

fn heard(what: &str, made: Result<PathBuf, String>) -> Option<PathBuf> {
    made.map_err(|cause| skip(&format!("{what}: {cause}"))).ok()
}

/// Node itself is in the Python environment: Debian's may be too old for the SDK.
fn install_node(python: &Python) -> Result<PathBuf, String> {
    kept("javascript", &[PACKAGE, PACKAGE_LOCK, PROGRAM], |home| {
        for (name, text) in [("package.json", PACKAGE), ("package-lock.json", PACKAGE_LOCK), ("who_am_i.mjs", PROGRAM)]
        {
            std::fs::write(home.join(name), text).map_err(|cause| cause.to_string())?;
        }
        // npm's own settings say where the registry is.
        let mut npm = python.tool("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(home);
        run_well(&mut npm, FETCH_LIMIT).map(drop)
    })
}

/// Builds the program in a workspace below `tests/sdk`; what both have in common is built once.
fn build(workspace: &str, name: &str) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-rust");
    std::fs::create_dir_all(&target).map_err(|cause| cause.to_string())?;
    let manifest = project().join("tests/sdk").join(workspace).join("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    // What the tests themselves are built with, say for coverage, is not for these.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTC_WORKSPACE_WRAPPER");
    run_well(&mut cargo, BUILD_LIMIT)?;
    Ok(target.join("debug").join(name))
}

const PACKAGE: &str = include_str!("javascript/package.json");
const PACKAGE_LOCK: &str = include_str!("javascript/package-lock.json");
const PROGRAM: &str = include_str!("javascript/who_am_i.mjs");
const MANIFEST: &str = include_str!("rust/Cargo.toml");
const EXTENDED_MANIFEST: &str = include_str!("rust-extended/Cargo.toml");
/// An SDK that starts cold on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);
const FETCH_LIMIT: Duration = Duration::from_secs(300);
/// Some 3 minutes of one core.
const BUILD_LIMIT: Duration = Duration::from_secs(900);
