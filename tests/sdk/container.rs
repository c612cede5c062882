//! Container credentials: SDKs that find a token and an address in their environment, and nothing else. They come from
//! the node itself, as pods on its network do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Site;
use crate::clients::Client;
use crate::standins::PATIENCE;
use crate::standins::agent::{Agent, Setup};
use crate::standins::kubernetes::PodSpec;
use crate::tools::{empty_dir, skip};

/// What an SDK does with a 404 `no_role`.
struct Refused {
    /// Its own words, of which a reader of the program's log must make do
    says: &'static str,
    /// Requests that showed the token
    requests: usize,
}

fn refused(client: Client, host: IpAddr) -> Refused {
    let (says, requests) = match client {
        Client::Boto3 | Client::AwsCli => (r#"non 200 response 404 from container metadata: {"code":"no_role""#, 3),
        // Neither of the two names the refusal.
        Client::JavaScript if host == LOOPBACK => ("Could not load credentials from any providers", 4),
        Client::JavaScript => ("169.254.170.2 is not a valid container metadata service hostname", 4),
        Client::Rust | Client::RustExtended => ("Non-success status from HTTP credential provider: StatusCode(404)", 1),
    };
    Refused { says, requests }
}

impl Site {
    fn setup_for_tokens(&self) -> Setup {
        self.lab.kubernetes.add_namespace("shop", &[]);
        for client in Client::ALL {
            let pod = PodSpec::new("shop", &name("good", client)).ip(NODE).role("app").host_network();
            self.lab.kubernetes.add_pod(pod);
            self.lab.kubernetes.add_pod(PodSpec::new("shop", &name("bare", client)).ip(NODE).host_network());
        }
        self.setup(&self.moto.url()).flags(&["--container-credentials"])
    }

    /// First with the token of a pod that has no role; then the file holds another, as if the kubelet had written it.
    fn show_tokens(&self, client: Client, agent: &Agent, at: SocketAddr) {
        let kubernetes = &self.lab.kubernetes;
        let file = empty_dir(&format!("sdk-token-{client:?}-{}", at.ip())).join("token");
        std::fs::write(&file, kubernetes.token("shop", &name("bare", client))).unwrap();
        let uri = format!("http://{at}/v1/credentials");
        let mut program = self.kits.start_in_container(client, &uri, &file, &self.moto.url());
        let (said, expected) = (program.who(), refused(client, at.ip()));
        assert!(said.starts_with("error: ") && said.contains(expected.says), "{client:?}: {said}");
        std::fs::write(&file, kubernetes.token("shop", &name("good", client))).unwrap();
        let who = program.who();
        assert!(who.starts_with("arn:aws:sts::123456789012:assumed-role/app/"), "{client:?}: {who}");
        let refusal = format!("pod.name={} pod.namespace=shop reason=no_role ", name("bare", client));
        assert_eq!(count(agent, &refusal, expected.requests), expected.requests, "{client:?}");
    }

    /// All SDKs at once: most of the time they pause between requests.
    fn show_all_tokens(&self, agent: &Agent, host: IpAddr) {
        let at = SocketAddr::new(host, agent.addr().port());
        std::thread::scope(|scope| {
            for client in Client::ALL.into_iter().filter(|client| self.kits.have(*client)) {
                scope.spawn(move || self.show_tokens(client, agent, at));
            }
        });
        // JavaScript has a second provider for the address, which takes this host and no token.
        let bare = usize::from(host == LOOPBACK && self.kits.have(Client::JavaScript));
        assert_eq!(count(agent, "reason=token_missing ", bare), bare);
        let log = agent.log().join("\n");
        assert!(!log.contains("/latest/"), "nobody falls back to the metadata address:\n{log}");
        self.assert_log_is_clean(agent);
    }
}

#[test]
fn every_sdk_shows_its_token_at_loopback() {
    let Some(site) = Site::open() else { return };
    let agent = site.setup_for_tokens().start();
    site.show_all_tokens(&agent, LOOPBACK);
}

#[test]
fn every_sdk_shows_its_token_at_the_container_address() {
    let Some(site) = Site::open() else { return };
    let agent = site.setup_for_tokens().may_set_up_the_address().start();
    if !is_there(SocketAddr::new(CONTAINER, agent.addr().port())) {
        return skip("container credentials at 169.254.170.2 (needs root with NET_ADMIN)");
    }
    site.show_all_tokens(&agent, CONTAINER);
}

/// How many log lines hold `part`, once they are as many as `expected`: a line may come after its answer.
fn count(agent: &Agent, part: &str, expected: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = agent.log();
        let count = log.iter().filter(|line| line.contains(part)).count();
        let left = deadline.saturating_duration_since(Instant::now());
        if count >= expected || left.is_zero() {
            return count;
        }
        agent.log_from(log.len(), left);
    }
}

/// The agent adds the address itself, if it may, and soon.
fn is_there(at: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err() {
        if !rustix::process::geteuid().is_root() || Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn name(what: &str, client: Client) -> String {
    format!("{what}-{client:?}").to_lowercase()
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CONTAINER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2));
const NODE: &str = "127.0.0.1";
