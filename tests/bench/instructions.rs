//! Instructions of one answer from memory, counted by callgrind, so that they compare across machines.
//!
//! The agent runs twice under valgrind with another number of requests each; what differs is the requests' alone.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::agent::{free_port, test_binary};
use crate::standins::client::{Ask, Connection};
use crate::subject::{DOCUMENT, FIRST_POD, binary, populate, setup};
use crate::wrk::is_there;

pub fn run(report: &mut Report) {
    if !is_there("valgrind") {
        return report.left_out("valgrind (Debian: valgrind)");
    }
    if binary() != test_binary() {
        return report.left_out("the binary that cargo built for benches can be run under valgrind, others can't");
    }
    let (few, many) = (count(FEW), count(MANY));
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = many.saturating_sub(few) as f64 / f64::from(MANY - FEW);
    report.number("instructions per answer from memory, keep-alive", each, "", Target::None);
}

/// Instructions of a whole life with so many requests on one connection.
fn count(requests: u32) -> u64 {
    let lab = Lab::start();
    populate(&lab, 1);
    let out = std::env::temp_dir().join(format!("kube2iam-callgrind-{}-{requests}", std::process::id()));
    let port = free_port();
    let mut valgrind = setup(&lab).command_line(port);
    let mut child = under_callgrind(&mut valgrind, &out);
    let server = ([127, 0, 0, 1], port).into();
    let late = Instant::now() + Duration::from_secs(60);
    let mut connection = loop {
        if let Ok(connection) = Connection::try_open(server, FIRST_POD) {
            break connection;
        }
        assert!(Instant::now() < late, "the agent doesn't answer under valgrind");
        std::thread::sleep(Duration::from_millis(50));
    };
    for _ in 0..WARM_UP + requests {
        connection.ask(&Ask::get(DOCUMENT));
    }
    drop(connection);
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    child.wait().unwrap();
    let told = fs::read_to_string(&out).unwrap();
    if std::env::var_os("KUBE2IAM_BENCH_KEEP").is_none() {
        let _ = fs::remove_file(&out);
    }
    let line = told.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:"))).unwrap();
    line.trim().parse().unwrap()
}

fn under_callgrind(agent: &mut Command, out: &Path) -> Child {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", out.display())]);
    valgrind.arg(agent.get_program()).args(agent.get_args());
    valgrind.env_clear().env("PATH", "/usr/bin:/bin");
    valgrind.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
    valgrind.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// So that everything that is done once has been.
const WARM_UP: u32 = 50;
const FEW: u32 = 100;
const MANY: u32 = 1_100;
