//! Programs that tests call: found on the PATH, or installed from PyPI into a venv of the test's own.
//!
//! A tool that isn't there: the test says so on stderr and passes, so that a laptop can run the rest. With `CI` set
//! (not `false`) it fails, so that nothing is skipped where it counts.
#![allow(dead_code)] // each test crate uses a part of this

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What the venv holds: Helm's own Go library, Kubernetes' schemas, CycloneDX's schemas, Google's CEL.
const PYTHON_PACKAGES: [&str; 4] = [
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "cel-expr-python==0.1.3",
];

/// The top of the project.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of this name under cargo's own for tests, empty.
pub(crate) fn empty_dir(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

/// Is this a run where nothing may be left out?
pub(crate) fn must_not_skip() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Notes that a test can't be run for want of `what`, or fails where that isn't allowed.
pub(crate) fn skip(what: &str) {
    assert!(!must_not_skip(), "{what}: not here, and CI is set");
    // Past the capture of test output: a skipped test must be heard.
    let _ = writeln!(std::io::stderr().lock(), "\nSKIPPED, not tested here: {what}\n");
}

/// The program's path; `None` if the test is to be skipped.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{program} ({package})"));
    }
    found
}

/// A Python with [`PYTHON_PACKAGES`]; `None` if the test is to be skipped.
pub(crate) fn python() -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(make_python).clone()
}

fn make_python() -> Option<PathBuf> {
    let python3 = find("python3", "Debian: python3 python3-venv")?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = dir.join("shipping-venv");
    let (python, stamp) = (venv.join("bin/python"), venv.join("packages"));
    // Several test processes may want it at once.
    let lock = File::create(dir.join("shipping-venv.lock")).unwrap();
    lock.lock().unwrap();
    let wanted = PYTHON_PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Some(python);
    }
    let made = run(Command::new(python3).args(["-m", "venv", "--clear"]).arg(&venv)).and_then(|_| {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(PYTHON_PACKAGES))
    });
    match made {
        Ok(_) => {
            fs::write(&stamp, wanted).unwrap();
            Some(python)
        }
        Err(why) => {
            skip(&format!("Python packages from PyPI ({why})"));
            None
        }
    }
}

/// Runs a Python script of the tests with `input` on its standard input and gives its standard output.
pub(crate) fn run_python(python: &Path, script: &str, input: &str) -> String {
    let mut child = Command::new(python)
        .arg(project().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = output_of(child).unwrap();
    text(judge(script, &output).unwrap())
}

/// What a program printed until its end, for which nobody waits for ever.
fn output_of(child: Child) -> std::io::Result<Output> {
    let pid = Pid::from_child(&child);
    let (ended, end) = channel();
    thread::Builder::new().spawn(move || drop(ended.send(child.wait_with_output())))?;
    end.recv_timeout(LONGEST).unwrap_or_else(|_| {
        let _ = kill_process(pid, Signal::KILL);
        Err(std::io::Error::other(format!("it took longer than {LONGEST:?}")))
    })
}

/// Builds are among what is run.
const LONGEST: Duration = Duration::from_secs(1_200);

/// Runs to the end; an exit code other than 0 is an error that carries what was printed.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let name = format!("{} {}", command.get_program().display(), words.join(" "));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = child.and_then(output_of).map_err(|error| format!("failed to run `{name}`: {error}"))?;
    judge(&name, &output).cloned()
}

/// The standard output of a command that must succeed.
pub(crate) fn stdout_of(command: &mut Command) -> String {
    text(&run(command).unwrap())
}

fn judge<'a>(name: &str, output: &'a Output) -> Result<&'a Output, String> {
    if output.status.success() {
        return Ok(output);
    }
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n");
    Err(format!("`{name}` ended with {}:\n{said}", output.status))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
