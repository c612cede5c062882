//! Three pods, what they ask, and what they should get.

use std::path::PathBuf;

use crate::page::{POD_WIDTH, Page};
use crate::standins::Lab;
use crate::standins::agent::{Agent, Setup};
use crate::standins::client::{Ask, TOKEN_HEADER, TTL_HEADER};
use crate::standins::kubernetes::PodSpec;

/// The stand-ins with their cluster in place.
pub struct Scene {
    lab: Lab,
    /// Where the agent answers its operator
    socket: PathBuf,
}

struct Actor {
    namespace: &'static str,
    name: &'static str,
    address: &'static str,
    role: &'static str,
}

impl Actor {
    fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

const WEB: Actor = Actor { namespace: "shop", name: "web", address: "127.0.10.1", role: "web" };
const REPORT: Actor = Actor { namespace: "batch", name: "report", address: "127.0.10.2", role: "nightly/report" };
const CURIOUS: Actor = Actor { namespace: "shop", name: "curious", address: "127.0.10.3", role: "admin" };

/// Which roles a namespace may use: its annotation `iam.amazonaws.com/allowed-roles`.
const NAMESPACES: [(&str, &str); 2] = [("shop", r#"["web", "cart-*"]"#), ("batch", r#"["nightly/*"]"#)];

/// One exchange of the play.
struct Line {
    why: &'static str,
    pod: &'static Actor,
    method: &'static str,
    path: &'static str,
    token: Token,
    status: u16,
}

/// What a line has to do with session tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Fetch,
    Show,
}

const PLAY: [Line; 8] = [
    Line {
        why: "Which role is mine?",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/",
        token: Token::None,
        status: 200,
    },
    Line {
        why: "A session token, as IMDSv2 wants it",
        pod: &WEB,
        method: "PUT",
        path: "/latest/api/token",
        token: Token::Fetch,
        status: 200,
    },
    Line {
        why: "With it, credentials of my role",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/web",
        token: Token::Show,
        status: 200,
    },
    Line {
        why: "Another pod has another role (here without a token, as old SDKs ask)",
        pod: &REPORT,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/nightly/report",
        token: Token::None,
        status: 200,
    },
    Line {
        why: "May I have the other pod's role?",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/nightly/report",
        token: Token::Show,
        status: 403,
    },
    Line {
        why: "A pod that claims a role its namespace may not use",
        pod: &CURIOUS,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/",
        token: Token::None,
        status: 404,
    },
    Line {
        why: "Other metadata comes from the node",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/placement/region",
        token: Token::Show,
        status: 200,
    },
    Line {
        why: "... but not what belongs to the node alone",
        pod: &WEB,
        method: "GET",
        path: "/latest/user-data",
        token: Token::Show,
        status: 403,
    },
];

impl Scene {
    pub fn set() -> Self {
        let lab = Lab::start();
        for (namespace, allowed) in NAMESPACES {
            lab.kubernetes.add_namespace(namespace, &[("iam.amazonaws.com/allowed-roles", allowed)]);
        }
        for actor in [&WEB, &REPORT, &CURIOUS] {
            lab.kubernetes.add_pod(PodSpec::new(actor.namespace, actor.name).ip(actor.address).role(actor.role));
        }
        let directory = std::env::temp_dir().join(format!("kube2iam-playground-{}", std::process::id()));
        Self { lab, socket: directory.join("control.sock") }
    }

    pub fn start_agent(&self) -> Agent {
        let own = std::env::current_exe().expect("a running program has a path");
        let agent = Setup::of(&own).flags(&["agent", "--node=node-1", "--namespace-restrictions", BASE]);
        let socket = format!("--control-socket={}", self.socket.display());
        self.lab.configure(agent).flags(&[&socket]).start()
    }

    /// What the agent says of the pod that was refused; tells how much of that is not as it should be.
    pub fn explain(&self, page: &Page) -> usize {
        let socket = format!("--socket={}", self.socket.display());
        let own = std::env::current_exe().expect("a running program has a path");
        let outcome = Setup::of(&own).flags(&["agent", "explain", &CURIOUS.title(), &socket]).run();
        page.explanation(&format!("kube2iam explain {}", CURIOUS.title()), &(outcome.stdout + &outcome.stderr));
        usize::from(outcome.code != Some(0))
    }

    /// What the last line of the play leaves in the log.
    pub fn last_path(&self) -> &'static str {
        PLAY.last().map_or("", |line| line.path)
    }

    pub fn introduce(&self, page: &Page, agent: &Agent) {
        page.line("");
        page.heading("kube2iam playground");
        page.line(
            "  Every pod gets its own AWS role, and nothing else. kube2iam runs here for real, between three pretend",
        );
        page.line("  pods and pretend services: no cluster, no AWS account, nothing beyond this machine's loopback.\n");
        page.line(&format!("  kube2iam            http://{}", agent.addr()));
        page.line(&format!("  Kubernetes API      {}", self.lab.kubernetes.url()));
        page.line(&format!("  AWS STS             {}", self.lab.sts.url()));
        page.line(&format!("  EC2 metadata        http://{}\n", self.lab.metadata.address()));
        page.line(&format!(
            "  {:<POD_WIDTH$}  {:<12}  {:<16}  its namespace allows",
            "pod", "address", "wants the role"
        ));
        for actor in [&WEB, &REPORT, &CURIOUS] {
            let allowed =
                NAMESPACES.iter().find(|(name, _)| *name == actor.namespace).map_or("", |(_, allowed)| allowed);
            page.line(&format!(
                "  {:<POD_WIDTH$}  {:<12}  {:<16}  {allowed}",
                actor.title(),
                actor.address,
                actor.role
            ));
        }
        page.line("");
        page.heading("The play");
    }

    /// Plays all lines and tells how many went wrong.
    pub fn play(&self, page: &Page, agent: &Agent) -> usize {
        let (mut token, mut missteps) = (String::new(), 0);
        for (index, line) in PLAY.iter().enumerate() {
            page.question(index + 1, line.why, &line.pod.title(), &format!("{} {}", line.method, line.path));
            let ask = Ask::new(line.method, line.path);
            let ask = match line.token {
                Token::None => ask,
                Token::Fetch => ask.header(TTL_HEADER, "21600"),
                Token::Show => ask.header(TOKEN_HEADER, &token),
            };
            let answer = ask.send(agent.addr(), line.pod.address);
            page.answer(&answer);
            if line.token == Token::Fetch {
                token = answer.text();
            }
            if answer.status != line.status {
                page.misstep(line.status);
                missteps += 1;
            }
        }
        missteps
    }

    pub fn invite(&self, page: &Page, agent: &Agent) {
        let base = format!("http://{}/latest", agent.addr());
        page.heading("Your turn");
        for actor in [&WEB, &REPORT, &CURIOUS] {
            let path = "meta-data/iam/security-credentials/";
            page.line(&format!("  as {}", actor.title()));
            page.line(&format!("    curl --interface {} {base}/{path}", actor.address));
            page.line(&format!("    curl --interface {} {base}/{path}{}\n", actor.address, actor.role));
        }
        page.line("  as any of them");
        page.line(&format!("    curl --interface {} {base}/meta-data/", WEB.address));
        page.line("\n  as you, on the node");
        page.line(&format!("    curl http://{}/healthz", agent.addr()));
        page.line(&format!("    curl http://{}/metrics", agent.addr()));
        let kube2iam = crate::agent_process::binary();
        let here = std::env::current_dir().unwrap_or_default();
        let kube2iam = kube2iam.strip_prefix(here).unwrap_or(&kube2iam).display();
        for words in [&format!("explain {}", REPORT.title()), "status", "log-level debug"] {
            page.line(&format!("    {kube2iam} {words} --socket={}", self.socket.display()));
        }
        page.line("");
        page.line("  What kube2iam logs appears below. Ctrl-C ends it all.\n");
    }
}

/// The agent takes its socket away; the directory is ours.
impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(directory) = self.socket.parent() {
            let _ = std::fs::remove_dir_all(directory); // it is only a place for a socket
        }
    }
}

const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
