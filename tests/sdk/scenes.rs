//! The scenes, as data, and how one is played with one SDK: an agent of its own, a pod of its own, nothing shared but
//! the stand-ins.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Site;
use crate::clients::{Client, Program};
use crate::counter::Counter;
use crate::passage::{Call, Passage, Way};
use crate::standins::PATIENCE;
use crate::standins::agent::{Agent, Setup, free_port};
use crate::standins::client;
use crate::standins::kubernetes::PodSpec;
use crate::tools::empty_dir;

/// What an SDK meets.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub title: &'static str,
    /// The agent's flags besides those that every agent here has.
    flags: &'static [&'static str],
    /// The pod's role; `None`: there is no pod at this address.
    role: Option<&'static str>,
    way: Kind,
    /// Whether the agent has a `--state-dir`.
    keeps_state: bool,
    /// How long the first session lasts, if not an hour.
    first_life: Option<Duration>,
    steps: &'static [Step],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    FirstVersion,
    /// The pod's role changes after the SDK was told its name.
    RoleChanges,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The SDK is used.
    Who,
    /// By the SDK's clock
    HalfAnHourLater,
    /// Until the agent has another session than the first.
    AgentRenews,
    AgentIsKilled,
    AgentStarts,
}

use Step::{AgentIsKilled, AgentRenews, AgentStarts, HalfAnHourLater, Who};

const PLAIN: Scene = Scene {
    title: "",
    flags: &[],
    role: Some("app"),
    way: Kind::Plain,
    keeps_state: false,
    first_life: None,
    steps: &[Who],
};

pub const SCENES: &[Scene] = &[
    Scene { title: "IMDSv2", ..PLAIN },
    Scene { title: "IMDSv1 only: token requests get 405", way: Kind::FirstVersion, ..PLAIN },
    Scene { title: "`--imds-v2=required`", flags: &["--imds-v2=required"], ..PLAIN },
    Scene {
        title: "the same, and token requests get 405",
        flags: &["--imds-v2=required"],
        way: Kind::FirstVersion,
        ..PLAIN
    },
    Scene { title: "a role with a path, `team/web`", role: Some("team/web"), ..PLAIN },
    Scene {
        title: "a role outside the base, listed by its ARN",
        flags: &["--base-role-arn=arn:aws:iam::123456789012:role/pods/"],
        role: Some("arn:aws:iam::123456789012:role/app"),
        ..PLAIN
    },
    Scene {
        title: "the session is short; half an hour later the agent has another",
        first_life: Some(SHORT),
        steps: &[Who, AgentRenews, HalfAnHourLater, Who, Who],
        ..PLAIN
    },
    Scene { title: "another role than the pod's: it changed since the list", way: Kind::RoleChanges, ..PLAIN },
    Scene { title: "no pod has this address", role: None, ..PLAIN },
    Scene { title: "the pod has no role", role: Some(""), ..PLAIN },
    Scene {
        title: "the agent is killed and starts anew; half an hour later",
        keeps_state: true,
        first_life: Some(LASTS_A_WHILE),
        steps: &[Who, AgentIsKilled, AgentStarts, HalfAnHourLater, Who],
        ..PLAIN
    },
    Scene {
        title: "the same without `--state-dir`: other token keys",
        first_life: Some(LASTS_A_WHILE),
        steps: &[Who, AgentIsKilled, AgentStarts, HalfAnHourLater, Who],
        ..PLAIN
    },
    Scene {
        title: "the agent is gone when credentials end; then it's back",
        keeps_state: true,
        first_life: Some(LASTS_A_WHILE),
        steps: &[Who, AgentIsKilled, HalfAnHourLater, Who, AgentStarts, Who],
        ..PLAIN
    },
];

/// The agent serves no session in its last minute, so this one is renewed after some seconds.
const SHORT: Duration = Duration::from_secs(65);

/// Ended half an hour later; but not so near its end that an SDK looks for another at once.
const LASTS_A_WHILE: Duration = Duration::from_secs(20 * 60);

/// A scene in progress.
struct Stage<'a> {
    site: &'a Site,
    setup: Setup,
    agent: Option<Agent>,
    passage: Passage,
    counter: Counter,
    program: Program,
    pod: String,
    /// The key that the SDK signed with last.
    key: Option<String>,
}

/// Plays a scene and tells what the SDK asked for and what it ended in, step by step.
pub fn play(site: &Site, index: usize, client: Client) -> String {
    let scene = &SCENES[index];
    let (pod, name) = (format!("127.0.{}.{}", index + 2, client as usize + 1), format!("scene-{index}-{client:?}"));
    if let Some(role) = scene.role {
        let pod = PodSpec::new("default", &name.to_lowercase()).ip(&pod);
        site.lab.kubernetes.add_pod(if role.is_empty() { pod } else { pod.role(role) });
    }
    let counter = Counter::open(&site.moto, scene.first_life);
    let mut setup = site.setup(&counter.url()).flags(scene.flags).port(free_port());
    if scene.keeps_state {
        let directory = empty_dir(&format!("sdk-state-{name}"));
        setup = setup.flags(&[&format!("--state-dir={}", directory.display())]);
    }
    let agent = setup.clone().start();
    let passage = Passage::open(agent.addr(), &pod, way(site, scene.way, &agent, &name, &pod));
    let program = site.kits.start(client, passage.address(), &counter.url());
    let mut stage = Stage { site, setup, agent: Some(agent), passage, counter, program, pod, key: None };
    let told: Vec<String> = scene.steps.iter().filter_map(|step| stage.take(*step)).collect();
    stage.assert_log_is_clean();
    told.join("; then ")
}

fn way(site: &Site, kind: Kind, agent: &Agent, name: &str, pod: &str) -> Way {
    let (lab, agent) = (site.lab.clone(), agent.addr());
    let (name, pod) = (name.to_lowercase(), pod.to_owned());
    let change = move || {
        lab.kubernetes.update_pod("default", &name, |pod| pod.role("other"));
        wait_until("the agent to know the other role", || client::get(agent, &pod, LIST).text() == "other");
    };
    let after_list: Option<Box<dyn Fn() + Send + Sync>> = match kind {
        Kind::RoleChanges => Some(Box::new(change)),
        Kind::Plain | Kind::FirstVersion => None,
    };
    Way { refuses_tokens: kind == Kind::FirstVersion, after_list }
}

impl Stage<'_> {
    fn take(&mut self, step: Step) -> Option<String> {
        match step {
            Who => return Some(self.who()),
            HalfAnHourLater => self.program.later(30 * 60),
            AgentRenews => {
                let first = self.key.clone().expect("the SDK has a key");
                let (agent, path) = (self.agent.as_ref().expect("a running agent").addr(), format!("{LIST}app"));
                wait_until("the agent to have another session", || {
                    let answer = client::get(agent, &self.pod, &path);
                    answer.status == 200 && answer.json()["AccessKeyId"] != *first
                });
                // An SDK may ask once more in the background. The agent hangs up on an idle one, and that is waited
                // for too: a call at this very moment would be lost.
                wait_until("the SDK to be done", || self.passage.is_quiet());
            }
            AgentIsKilled => {
                self.assert_log_is_clean();
                let mut agent = self.agent.take().expect("a running agent");
                agent.signal(Signal::KILL);
                agent.stop();
                wait_until("the program's connections to end", || self.passage.is_quiet());
            }
            AgentStarts => self.agent = Some(self.setup.clone().start()),
        }
        None
    }

    fn who(&mut self) -> String {
        let said = self.program.who();
        let calls = self.passage.take_calls();
        let end = self.end(&said);
        format!("{}: {end}", if self.agent.is_some() { list(calls) } else { "nobody answers".to_owned() })
    }

    fn end(&mut self, said: &str) -> String {
        if said.starts_with("error:") {
            return error(said).map_or_else(|| said.to_owned(), str::to_owned);
        }
        let role = said.strip_prefix("arn:aws:sts::123456789012:assumed-role/").and_then(|rest| rest.split('/').next());
        let Some(role) = role else { return format!("landed in `{said}`") };
        let key = self.counter.last_caller();
        let before = self.key.replace(key.clone());
        match before {
            None => format!("is `{role}`"),
            Some(before) if before == key => format!("is `{role}`, by the same key"),
            Some(_) => format!("is `{role}`, by a new key"),
        }
    }

    fn assert_log_is_clean(&self) {
        let agent = self.agent.as_ref().expect("a running agent");
        self.site.assert_log_is_clean(agent);
        let log = agent.log().join("\n");
        let secrets = self.passage.secrets();
        assert!(self.key.is_none() || !secrets.is_empty(), "an SDK has credentials that never came by");
        for secret in secrets {
            assert!(!log.contains(&secret), "the log holds the secret `{secret}`:\n{log}");
        }
    }
}

/// Calls, once each, in the order in which they follow from each other: how often is a matter of luck.
fn list(mut calls: Vec<Call>) -> String {
    calls.sort();
    calls.dedup();
    let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
    if calls.is_empty() { "nothing".to_owned() } else { calls.join(", ") }
}

/// What an SDK's error comes to.
fn error(said: &str) -> Option<&'static str> {
    let kinds = [
        ("NoCredentialsError", NONE),
        ("Unable to locate credentials", NONE),
        ("Could not load credentials from any providers", NONE),
        ("no credentials found in chain", NONE),
        ("no providers in chain provided credentials", NONE),
        ("an error occurred while loading credentials", "error"),
        ("CredentialRetrievalError", "error"),
    ];
    kinds.into_iter().find_map(|(words, kind)| said.contains(words).then_some(kind))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE * 3;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(POLL);
    }
}

const NONE: &str = "no credentials";
const LIST: &str = "/latest/meta-data/iam/security-credentials/";
const POLL: Duration = Duration::from_millis(20);
