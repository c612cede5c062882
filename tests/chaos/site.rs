//! A node in bad weather: stand-ins behind TLS, relays between them and the agent, and pods, each with a role of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::random::Random;
use super::relay::Relay;
use super::standins::agent::{Agent, Setup, test_binary};
use super::standins::client::{self, Ask, Connection};
use super::standins::kubernetes::PodSpec;
use super::standins::metadata::NODE_CANARY;
use super::standins::{API_TOKEN, ENVIRONMENT_SECRET, Lab, STS_CANARY};
use super::tls::{Authority, Guard};

pub struct Site {
    pub lab: Lab,
    pub api: Relay,
    pub sts: Relay,
    pub metadata: Relay,
    /// In front of the API server and STS
    pub guards: [Guard; 2],
    directory: PathBuf,
}

/// A pod as its neighbours see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub address: String,
    pub role: String,
}

impl Pod {
    /// Pod number `number`, from 1 on.
    pub fn number(number: usize) -> Self {
        let address = format!("127.2.{}.{}", number / 250, number % 250 + 1);
        Self { address, role: format!("role-{number}") }
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:iam::123456789012:role/{}", self.role)
    }

    pub fn spec(&self) -> PodSpec {
        PodSpec::new("default", &self.role).ip(&self.address).role(&self.role)
    }

    /// Where its credentials are to be had.
    pub fn path(&self) -> String {
        format!("{ROLES}{}", self.role)
    }
}

impl Site {
    pub fn set_up(random: &mut Random) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kube2iam-chaos-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let (lab, authority) = (Lab::start(), Authority::new());
        let [api, sts] = [lab.kubernetes.wire(), lab.sts.wire()].map(|wire| authority.guard(wire.address()));
        let site = Self {
            api: Relay::start(api.address(), random.split()),
            sts: Relay::start(sts.address(), random.split()),
            metadata: Relay::start(lab.metadata.address(), random.split()),
            lab,
            guards: [api, sts],
            directory,
        };
        fs::write(site.directory.join("ca.crt"), &authority.pem).unwrap();
        fs::write(site.directory.join("config"), site.kubeconfig()).unwrap();
        // 2 s of use before their last minute: calls to STS never end.
        site.lab.sts.grant_for(Duration::from_secs(62));
        site
    }

    fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {{token: '{API_TOKEN}'}}}}]\n",
            self.api.address()
        )
    }

    /// The agent among the relays, with the node's credentials from the metadata service.
    pub fn setup(&self) -> Setup {
        self.configure(Setup::of(test_binary()))
    }

    /// Points a program at the relays.
    pub fn configure(&self, program: Setup) -> Setup {
        let metadata = self.metadata.address();
        self.lab
            .configure(program)
            .unset("AWS_ACCESS_KEY_ID")
            .unset("AWS_SECRET_ACCESS_KEY")
            .set("AWS_ENDPOINT_URL_STS", &format!("https://{}", self.sts.address()))
            .set("AWS_CA_BUNDLE", &self.directory.join("ca.crt").display().to_string())
            .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{metadata}"))
            .flags(&[
                "--base-role-arn=arn:aws:iam::123456789012:role/",
                "--node=node-1",
                &format!("--kubeconfig={}", self.directory.join("config").display()),
                &format!("--metadata-addr={metadata}"),
            ])
    }

    pub fn relays(&self) -> [&Relay; 3] {
        [&self.api, &self.sts, &self.metadata]
    }

    pub fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// Adds the pods number 1 to `count`.
    pub fn add_pods(&self, count: usize) -> Vec<Pod> {
        let pods: Vec<Pod> = (1..=count).map(Pod::number).collect();
        pods.iter().for_each(|pod| drop(self.lab.kubernetes.add_pod(pod.spec())));
        pods
    }

    /// Waits until each pod gets its credentials, asking `/healthz` in between; fails the test after [`RECOVERY`].
    pub fn await_all(&self, agent: &Agent, pods: &[Pod]) {
        let deadline = Instant::now() + RECOVERY;
        for pod in pods {
            loop {
                match super::clients::try_get(agent.addr(), &pod.address, &pod.path()) {
                    Ok(answer) if answer.status == 200 => {
                        super::clients::judge(&self.lab, pod, &answer).unwrap();
                        break;
                    }
                    outcome => {
                        let log = || agent.log().join("\n");
                        assert!(Instant::now() < deadline, "{pod:?} is not served: {outcome:?}\n{}", log());
                    }
                }
                assert_alive(agent);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// What is looked at when all is over.
    pub fn assert_sound(&self, agent: &mut Agent) {
        assert_eq!(agent.exit_status(), None, "it ended by itself:\n{}", agent.log().join("\n"));
        assert_alive(agent);
        assert_eq!(connections(agent, "panicked"), 0, "{}", agent.log().join("\n"));
        let panics: Vec<_> = agent.log().into_iter().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{panics:#?}");
        self.assert_log_is_clean(agent);
    }

    /// No secret in the log. Thousands are given out in a long run, and each of them holds one of these words.
    pub fn assert_log_is_clean(&self, agent: &Agent) {
        let words = [STS_CANARY, NODE_CANARY, ENVIRONMENT_SECRET, API_TOKEN];
        let secrets = self.lab.secrets();
        assert!(secrets.iter().all(|secret| words.iter().any(|word| secret.contains(word))));
        let log = agent.log();
        let dirty: Vec<_> = log.iter().filter(|line| words.iter().any(|word| line.contains(word))).collect();
        assert!(dirty.is_empty(), "{dirty:#?}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `/healthz` says 200.
pub fn assert_alive(agent: &Agent) {
    let ask = Ask::get("/healthz").host(&agent.addr().to_string());
    let status = super::clients::try_send(agent.addr(), "127.0.0.1", &ask).map(|answer| answer.status);
    assert!(matches!(status, Ok(200)), "/healthz: {status:?}\n{}", agent.log().join("\n"));
}

/// The counter of what happened to connections.
pub fn connections(agent: &Agent, event: &str) -> u64 {
    let text = client::get_as_operator(agent.addr(), "/metrics").text();
    let line = format!("kube2iam_connections_total{{event=\"{event}\"}} ");
    let value = text.lines().find_map(|other| other.strip_prefix(&line)?.parse().ok());
    value.unwrap_or_else(|| panic!("no `{line}` in\n{text}"))
}

/// A crowd of so many connections from a hundred addresses, each with half a head.
pub fn crowd(server: SocketAddr, count: usize) -> Vec<Connection> {
    let open = |number: usize| {
        let mut connection = Connection::try_open(server, &format!("127.3.0.{}", number % 100 + 1)).ok()?;
        connection.send(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: ");
        Some(connection)
    };
    (0..count).filter_map(open).collect()
}

pub const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Within so long after the end of a storm every pod is answered. The agent's longest rest between two tries is 30 s,
/// and a machine may be overloaded.
pub const RECOVERY: Duration = Duration::from_secs(90);
