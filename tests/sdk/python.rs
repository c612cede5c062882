//! A Python environment with the pinned SDKs, made once and kept below the target directory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::standins::process::run_well;

/// A virtual environment with all of `requirements.txt` in it.
pub struct Python {
    home: PathBuf,
}

impl Python {
    /// The environment, made if there is none yet. `None` where the machine can't: this is said aloud, and is a failure
    /// with `CI` set.
    pub fn prepare() -> Option<Self> {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sdk-{:08x}", fingerprint(REQUIREMENTS)));
        let python = Self { home };
        match python.make() {
            Ok(()) => Some(python),
            Err(cause) => {
                assert!(std::env::var_os("CI").is_none(), "the SDKs can't be installed: {cause}");
                // Straight to stderr: what a passing test prints by macro is never seen.
                let _ =
                    writeln!(std::io::stderr(), "\nSKIPPED, NOT TESTED: the AWS SDKs can't be installed: {cause}\n");
                None
            }
        }
    }

    /// A program of the environment, with nothing of our own variables.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin().join(program));
        command.env_clear().env("HOME", &self.home).env("PATH", self.bin());
        command
    }

    fn bin(&self) -> PathBuf {
        self.home.join("venv/bin")
    }

    fn make(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.home).map_err(|cause| cause.to_string())?;
        // Tests of several processes may want it at the same time.
        let lock = File::create(self.home.join("lock")).map_err(|cause| cause.to_string())?;
        lock.lock().map_err(|cause| cause.to_string())?;
        let complete = self.home.join("complete");
        if complete.exists() {
            return Ok(());
        }
        let requirements = self.home.join("requirements.txt");
        std::fs::write(&requirements, REQUIREMENTS).map_err(|cause| cause.to_string())?;
        run_well(Command::new("python3").args(["-m", "venv", "--clear"]).arg(self.home.join("venv")), VENV_LIMIT)?;
        let pip = self.bin().join("pip");
        run_well(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(requirements), PIP_LIMIT)?;
        std::fs::write(complete, "").map_err(|cause| cause.to_string())
    }
}

/// FNV-1a: another set of versions gets another environment.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

const REQUIREMENTS: &str = include_str!("requirements.txt");
const VENV_LIMIT: Duration = Duration::from_secs(60);
/// Some 60 MB from a package index or its cache.
const PIP_LIMIT: Duration = Duration::from_secs(300);
