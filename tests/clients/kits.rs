//! The clients as they are installed here, and how a program of theirs is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::catalogue::{Client, Source};
use crate::kit::kept;
use crate::python::Python;
use crate::standins::process::run_well;
use crate::tools::{project, skip};

pub struct Kits {
    /// With moto and Node
    pub python: Python,
    clients: Option<PathBuf>,
    javascript: Option<PathBuf>,
}

impl Kits {
    /// `None` without moto. Clients that can't be installed are skipped aloud.
    pub fn prepare() -> Option<Self> {
        let python = Python::prepare()?;
        let clients = noted("clients from PyPI", kept("clients-python", &[REQUIREMENTS], install_python));
        let javascript = kept("clients-javascript", &[PACKAGE, LOCK, SDK2], |home| install_javascript(&python, home));
        let javascript = noted("clients from npm", javascript);
        Some(Self { python, clients, javascript })
    }

    /// Whether a client is here; if a package of Debian's isn't, or is another version, that is said.
    pub fn have(&self, client: &Client) -> bool {
        match client.source {
            Source::PyPi(_) => self.clients.is_some(),
            Source::Npm(_) => self.javascript.is_some(),
            Source::Debian(package, version, program) => {
                let query = ["-W", "-f=${Version}", package];
                let held = run_well(Command::new("dpkg-query").args(query), QUERY_LIMIT).unwrap_or_default();
                let same = upstream(&held) == version && Path::new(program).exists();
                if !same {
                    skip(&format!("{package} {version} (Debian: {package}); here is `{held}`"));
                }
                same
            }
        }
    }

    /// A program that knows nothing of us but a path to look for others.
    pub fn command(&self, client: &Client) -> Command {
        let file = project().join("tests/clients/programs").join(client.program);
        let with = |runner: &str| {
            let mut command = Command::new(runner);
            command.arg(&file).env_clear().env("PATH", "/usr/bin:/bin");
            command
        };
        match client.program.rsplit('.').next() {
            Some("py") => {
                let venv = self.clients.as_ref().expect("a client that is here").join("venv/bin/python");
                with(venv.to_str().expect("a path of ours"))
            }
            Some("cjs") => {
                let mut node = self.python.command("node");
                node.arg(self.javascript.as_ref().expect("a client that is here").join(client.program));
                node
            }
            Some("rb") => with("/usr/bin/ruby"),
            Some("php") => with("/usr/bin/php"),
            _ => with("/bin/sh"),
        }
    }
}

/// A Debian version without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['-', '+']).next().unwrap_or_default()
}

fn noted(what: &str, made: Result<PathBuf, String>) -> Option<PathBuf> {
    made.map_err(|cause| skip(&format!("{what}: {cause}"))).ok()
}

fn install_python(home: &Path) -> Result<(), String> {
    let requirements = home.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).map_err(|cause| cause.to_string())?;
    run_well(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv")), INSTALL_LIMIT)?;
    let pip = home.join("venv/bin/pip");
    run_well(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(requirements), INSTALL_LIMIT).map(drop)
}

/// The program stands beside the packages that it imports.
fn install_javascript(python: &Python, home: &Path) -> Result<(), String> {
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK), ("sdk2.cjs", SDK2)] {
        std::fs::write(home.join(name), text).map_err(|cause| cause.to_string())?;
    }
    let mut npm = python.tool("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(home);
    run_well(&mut npm, INSTALL_LIMIT).map(drop)
}

pub const REQUIREMENTS: &str = include_str!("requirements.txt");
pub const PACKAGE: &str = include_str!("javascript/package.json");
const LOCK: &str = include_str!("javascript/package-lock.json");
const SDK2: &str = include_str!("programs/sdk2.cjs");
/// Some 250 MB from a package index or its cache.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const QUERY_LIMIT: Duration = Duration::from_secs(20);
