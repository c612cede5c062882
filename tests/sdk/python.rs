//! A Python environment with the pinned SDKs, moto, and Node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::kit::kept;
use crate::standins::process::run_well;
use crate::tools::skip;

/// A virtual environment with all of `requirements.txt` in it.
pub struct Python {
    home: PathBuf,
}

impl Python {
    /// The environment, made if there is none yet. `None` where the machine can't: this is said aloud, and is a failure
    /// with `CI` set.
    pub fn prepare() -> Option<Self> {
        match kept("python", &[REQUIREMENTS], install) {
            Ok(home) => Some(Self { home }),
            Err(cause) => {
                skip(&format!("the AWS SDKs (Debian: python3 python3-venv; packages from PyPI): {cause}"));
                None
            }
        }
    }

    /// A program of the environment that may know what we know.
    #[allow(dead_code, reason = "the tests of the redirect need no Node")]
    pub fn tool(&self, program: &str) -> Command {
        let mut paths = vec![self.home.join("venv/bin")];
        paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let mut command = Command::new(paths[0].join(program));
        command.env("PATH", std::env::join_paths(paths).expect("paths from a PATH"));
        command
    }

    /// A program of the environment, with nothing of our own variables.
    pub fn command(&self, program: &str) -> Command {
        let bin = self.home.join("venv/bin");
        let mut command = Command::new(bin.join(program));
        command.env_clear().env("HOME", &self.home).env("PATH", bin);
        command
    }
}

fn install(home: &Path) -> Result<(), String> {
    let requirements = home.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).map_err(|cause| cause.to_string())?;
    run_well(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv")), VENV_LIMIT)?;
    let pip = home.join("venv/bin/pip");
    run_well(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(requirements), PIP_LIMIT)?;
    Ok(())
}

pub const REQUIREMENTS: &str = include_str!("requirements.txt");
const VENV_LIMIT: Duration = Duration::from_secs(60);
/// Some 120 MB from a package index or its cache.
const PIP_LIMIT: Duration = Duration::from_secs(300);
