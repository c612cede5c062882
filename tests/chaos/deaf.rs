//! Nobody reads the log, or it can't be written; and a process that stands still for a while.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;

use super::clients::{judge, try_get};
use super::random;
use super::site::{Pod, Site, assert_alive};
use super::standins::Times;
use super::standins::agent::{Agent, Setup, test_binary};
use super::standins::sts::StsFault;

/// Several times what a pipe holds.
const REQUESTS: usize = 1_500;

/// An agent whose log goes to `log`.
fn logging_to(site: &Site, log: &Path) -> Agent {
    let redirected = format!("exec \"$0\" \"$@\" 2>'{}'", log.display());
    let setup = Setup::of(Path::new("/bin/sh")).flags(&["-c", &redirected, &test_binary().display().to_string()]);
    site.configure(setup).start()
}

/// It answers as ever, and ends when it is told to.
fn answers_and_ends(site: &Site, mut agent: Agent) {
    // Nobody waits for STS here.
    site.lab.sts.grant_for(Duration::from_secs(3_600));
    let pods = site.add_pods(1);
    site.await_all(&agent, &pods);
    for _ in 0..REQUESTS {
        let answer = try_get(agent.addr(), &pods[0].address, &pods[0].path()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_alive(&agent);
    assert_eq!(agent.exit_status(), None);
    assert_eq!(agent.stop().status.code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let site = Site::set_up(&mut random::of_run());
    let pipe = site.directory().join("log");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let agent = logging_to(&site, &pipe);
    answers_and_ends(&site, agent);
    drop(reader);
}

#[test]
fn a_log_that_cannot_be_written_holds_up_nothing() {
    let site = Site::set_up(&mut random::of_run());
    let agent = logging_to(&site, Path::new("/dev/full"));
    answers_and_ends(&site, agent);
}

#[test]
fn a_log_whose_reader_went_away_holds_up_nothing() {
    let site = Site::set_up(&mut random::of_run());
    let pipe = site.directory().join("log");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let agent = logging_to(&site, &pipe);
    drop(reader);
    answers_and_ends(&site, agent);
}

/// Sessions are granted for 62 s here and served until their last minute. Time that the process doesn't see counts too.
#[test]
fn what_ran_out_while_the_process_stood_still_is_not_served() {
    let site = Site::set_up(&mut random::of_run());
    let pod: Pod = site.add_pods(1).remove(0);
    let mut agent = site.setup().start();
    let key = || {
        site.await_all(&agent, std::slice::from_ref(&pod));
        let answer = try_get(agent.addr(), &pod.address, &pod.path()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        judge(&site.lab, &pod, &answer).unwrap();
        answer.json()["AccessKeyId"].as_str().unwrap().to_owned()
    };
    let before = key();
    agent.signal(Signal::STOP);
    let end = Instant::now() + STANDSTILL;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    agent.signal(Signal::CONT);
    assert_ne!(key(), before);
    site.assert_sound(&mut agent);
}

/// The rest that a line announces is the one that is taken; only the first line of several is a warning.
#[test]
fn the_log_tells_when_the_next_try_comes() {
    let site = Site::set_up(&mut random::of_run());
    site.lab.sts.fault(None, StsFault::UNAVAILABLE, Times::Always);
    let mut agent = site.setup().flags(&["--log-level=debug"]).start();
    site.lab.sts.wait_for_calls(3);
    let log = agent.log();
    let rests = log.iter().filter(|line| line.contains("failed to learn the agent's own role"));
    let rests: Vec<u64> = rests.map(|line| line.split_once("retry.ms=").unwrap().1.trim().parse().unwrap()).collect();
    assert!(rests.len() >= 2 && rests.iter().all(|rest| *rest <= 5_000), "{rests:?}");
    let warnings = log.iter().filter(|line| line.contains("level=warning") && line.contains("the agent's own role"));
    assert_eq!(warnings.count(), 1, "{log:#?}");
    site.assert_sound(&mut agent);
}

const STANDSTILL: Duration = Duration::from_millis(2_500);
