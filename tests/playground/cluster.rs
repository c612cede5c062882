//! Three pods in two namespaces, the services around them, and the agent among them.

use std::io;
use std::path::PathBuf;

use crate::kube2iam_process::WORD;
use crate::page::{POD_WIDTH, Page};
use crate::standins::Lab;
use crate::standins::agent::{Agent, Setup};
use crate::standins::kubernetes::PodSpec;
use crate::workspace::Workspace;

#[derive(PartialEq, Eq)]
pub struct Pod {
    pub namespace: &'static str,
    pub name: &'static str,
    pub address: &'static str,
    /// Its annotation at first
    pub role: &'static str,
}

impl Pod {
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

pub const WEB: Pod = Pod { namespace: "shop", name: "web", address: "127.0.10.1", role: "web" };
pub const REPORT: Pod = Pod { namespace: "batch", name: "report", address: "127.0.10.2", role: "nightly/report" };
pub const CURIOUS: Pod = Pod { namespace: "shop", name: "curious", address: "127.0.10.3", role: "admin" };
pub const PODS: [&Pod; 3] = [&WEB, &REPORT, &CURIOUS];

/// Which roles a namespace may use: its annotation [`ALLOWED_ROLES`].
pub const NAMESPACES: [(&str, &str); 2] = [("shop", r#"["web", "cart-*"]"#), ("batch", r#"["nightly/*"]"#)];
pub const ALLOWED_ROLES: &str = "iam.amazonaws.com/allowed-roles";

/// The stand-ins with the cluster in place, and what belongs to the agent.
pub struct Cluster {
    pub lab: Lab,
    pub workspace: Workspace,
    program: PathBuf,
}

impl Cluster {
    pub fn start() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let lab = Lab::start();
        for (namespace, allowed) in NAMESPACES {
            lab.kubernetes.add_namespace(namespace, &[(ALLOWED_ROLES, allowed)]);
        }
        for pod in PODS {
            lab.kubernetes.add_pod(PodSpec::new(pod.namespace, pod.name).ip(pod.address).role(pod.role));
        }
        let workspace = Workspace::create(&program)?;
        std::fs::write(workspace.token(), lab.kubernetes.token(WEB.namespace, WEB.name))?;
        Ok(Self { lab, workspace, program })
    }

    pub fn start_agent(&self) -> Agent {
        let flags = [WORD, "--node=node-1", "--namespace-restrictions", "--container-credentials", BASE];
        let agent = Setup::of(&self.program).flags(&flags);
        let socket = format!("--control-socket={}", self.workspace.socket().display());
        let state = format!("--state-dir={}", self.workspace.state().display());
        self.lab.configure(agent).flags(&[&socket, &state]).log_to(&self.workspace.log()).start()
    }

    pub fn introduce(&self, page: &Page, agent: &Agent) {
        page.line("");
        page.heading("kube2iam playground");
        page.text(INTRODUCTION);
        page.line("");
        page.line(&format!("  kube2iam            http://{}", agent.addr()));
        page.line(&format!("  Kubernetes API      {}", self.lab.kubernetes.url()));
        page.line(&format!("  AWS STS             {}", self.lab.sts.url()));
        page.line(&format!("  EC2 metadata        http://{}\n", self.lab.metadata.address()));
        row(page, ["pod", "address", "wants the role", "its namespace allows"]);
        for pod in PODS {
            let allowed = NAMESPACES.iter().find(|(name, _)| *name == pod.namespace).map_or("", |(_, allowed)| allowed);
            row(page, [&pod.title(), pod.address, pod.role, allowed]);
        }
        page.line("");
    }

    /// What the agent says of the pod that was refused; gives how much of that is not as it should be.
    pub fn explain(&self, page: &Page) -> usize {
        let subject = CURIOUS.title();
        let outcome = Setup::of(&self.workspace.command()).flags(&["explain", &subject]).run();
        page.explanation(&format!("kube2iam explain {subject}"), &(outcome.stdout + &outcome.stderr));
        usize::from(outcome.code != Some(0))
    }
}

fn row(page: &Page, [pod, address, role, allowed]: [&str; 4]) {
    page.line(&format!("  {pod:<POD_WIDTH$}  {address:<12}  {role:<16}  {allowed}"));
}

const INTRODUCTION: &str = "Every pod gets its own AWS role, and nothing else. kube2iam runs here for real, \
    between three pretend pods and pretend services: no cluster, no AWS account, nothing beyond this machine's \
    loopback.";
const BASE: &str = "--base-role-arn=arn:aws:iam::123456789012:role/";
