//! Where a scene is played: a namespace of its own in the cluster, stand-ins for AWS, and pods' clients.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kube2iam::for_tests::target_of;

use super::api::Api;
use super::standins::agent::{Agent, Setup, Until};
use super::standins::client::{self, Answer};
use super::standins::{API_TOKEN, Lab};

/// What stands for the cluster.
pub enum Cluster {
    StandIn,
    /// By this kubeconfig
    Given(PathBuf),
}

pub struct Stage {
    pub lab: Lab,
    pub api: Api,
    pub kubeconfig: PathBuf,
    pub is_stand_in: bool,
    pub namespace: String,
    directory: PathBuf,
    number: usize,
}

impl Stage {
    /// Stage number `number` of this run.
    pub fn set(cluster: &Cluster, number: usize) -> Self {
        let lab = Lab::start();
        let kind = if matches!(cluster, Cluster::StandIn) { "stand-in" } else { "cluster" };
        let namespace = format!("kube2iam-test-{kind}-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&namespace);
        fs::create_dir_all(&directory).unwrap();
        let kubeconfig = match cluster {
            Cluster::Given(path) => path.clone(),
            Cluster::StandIn => {
                lab.kubernetes.require_token(API_TOKEN);
                let (path, url) = (directory.join("config"), lab.kubernetes.url());
                write(&path, &kubeconfig_of(&url, API_TOKEN, ""));
                path
            }
        };
        let (api, is_stand_in) = (Api::of(&kubeconfig), matches!(cluster, Cluster::StandIn));
        api.create_namespace(&namespace);
        Self { lab, api, kubeconfig, is_stand_in, namespace, directory, number }
    }

    /// The agent with this kubeconfig.
    pub fn setup(&self, kubeconfig: &Path) -> Setup {
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        self.lab.setup().flags(&["--base-role-arn=arn:aws:iam::123456789012:role/", &kubeconfig])
    }

    pub fn agent(&self, flags: &[&str]) -> Agent {
        self.setup(&self.kubeconfig).flags(flags).start()
    }

    /// An agent that needn't become ready.
    pub fn agent_by(&self, kubeconfig: &Path) -> Agent {
        self.setup(kubeconfig).until(Until::Listening).start()
    }

    /// An address of a pod of this scene: nobody else's in this run.
    pub fn address(&self, pod: usize) -> String {
        format!("127.5.{}.{}", self.number + 100 * usize::from(self.is_stand_in), pod + 1)
    }

    /// Writes a kubeconfig beside the scene's other things.
    pub fn write_kubeconfig(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        write(&path, text);
        path
    }

    /// The server's address if it is one of loopback.
    pub fn loopback(&self) -> Option<SocketAddr> {
        let target = target_of(&self.api.server).unwrap();
        let (host, port) = (target.host(), target.port());
        let mut addresses = (host, port).to_socket_addrs().unwrap();
        addresses.find(|address| address.ip().is_loopback() && address.is_ipv4())
    }

    /// A pod that runs at an address with a role.
    pub fn run(&self, name: &str, address: &str, role: &str) {
        self.api.create_pod(&self.namespace, name, &[(ROLE, role)]);
        self.api.set_status(&self.namespace, name, "Running", address);
    }

    /// Asks for credentials of a role until it goes as expected: `Ok` if they are to be had, `Err` with the status of the
    /// refusal. What is got must have been granted for that role.
    pub fn expect(&self, agent: &Agent, address: &str, role: &str, expected: Result<(), u16>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(agent, address, role);
            let outcome = if answer.status == 200 { Ok(()) } else { Err(answer.status) };
            if outcome == expected {
                return;
            }
            let log = || agent.log().join("\n");
            assert!(
                Instant::now() < deadline,
                "{address} asks for `{role}`: {} {}, not {expected:?}\n{}",
                answer.status,
                answer.text(),
                log()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Asks once. Credentials of another role fail the test.
    pub fn ask(&self, agent: &Agent, address: &str, role: &str) -> Answer {
        let answer = client::get(agent.addr(), address, &format!("/latest/meta-data/iam/security-credentials/{role}"));
        if answer.status == 200 {
            let key = answer.json()["AccessKeyId"].as_str().unwrap_or_default().to_owned();
            let granted = self.lab.sts.grant(&key).map(|(role, _)| role);
            assert_eq!(granted, Some(format!("arn:aws:iam::123456789012:role/{role}")), "{}", answer.text());
        }
        answer
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Its pods go with it, but where no controller runs.
        let (_, pods) = self.api.delete(&format!("/api/v1/namespaces/{}/pods", self.namespace));
        let (_, space) = self.api.delete(&format!("/api/v1/namespaces/{}", self.namespace));
        drop((pods, space));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A kubeconfig with a token; `cluster` is what else its cluster has, as YAML fields of a flow mapping.
pub fn kubeconfig_of(server: &str, token: &str, cluster: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{server}'{cluster}}}}}]\n\
         users: [{{name: u, user: {{token: '{token}'}}}}]\n"
    )
}

/// For nobody else: there may be keys in it.
fn write(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
}

pub const ROLE: &str = "iam.amazonaws.com/role";
pub const ALLOWED: &str = "iam.amazonaws.com/allowed-roles";
/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
