//! The file in an empty root directory, with nothing but what Kubernetes mounts into a pod.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{cluster, release, tools};

/// Looks at the agent until it is ready: this often, this far apart. It should be there at once; the rest is for a busy
/// machine.
const LOOKS: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(50);
/// Other test programs take theirs from 20,000 on.
const FIRST_PORT: u16 = 19_000;

/// An agent that dies with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The file, `/etc/resolv.conf`, and the service account.
fn furnish(file: &Path) -> PathBuf {
    let root = tools::empty_dir("empty-root");
    fs::copy(file, root.join("kube2iam")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/resolv.conf"), format!("nameserver {}\n", cluster::RESOLVER)).unwrap();
    let account = root.join("var/run/secrets/kubernetes.io/serviceaccount");
    fs::create_dir_all(&account).unwrap();
    fs::write(account.join("token"), cluster::TOKEN).unwrap();
    fs::write(account.join("namespace"), "kube-system").unwrap();
    root
}

/// A port that is nobody's, below those that the system gives to clients: one of these could be taken meanwhile.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    (FIRST_PORT..FIRST_PORT + 1_000).find(is_free).unwrap()
}

/// Looks until it is so, or for the last time.
fn comes_true(is_so: impl Fn() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        let so = is_so();
        if !so {
            thread::park_timeout(BETWEEN);
        }
        so
    })
}

#[test]
fn in_an_empty_root_it_resolves_names_trusts_the_mounted_ca_and_becomes_ready() {
    let Some(file) = release::file() else { return };
    let (root, certificates) = (furnish(file), tools::empty_dir("certificates"));
    let (Some(asked), true) = (cluster::resolve(), cluster::make_certificates(&certificates)) else { return };
    let api = cluster::serve(&certificates);
    let account = root.join("var/run/secrets/kubernetes.io/serviceaccount");
    fs::copy(certificates.join("ca.crt"), account.join("ca.crt")).unwrap();
    let port = free_port();

    let mut command = Command::new("chroot");
    command.arg(&root).args(["/kube2iam", "--node=node-1", "--control-socket="]).arg(format!("--app-port={port}"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("AWS_REGION", "eu-west-1");
    command.env("KUBERNETES_SERVICE_HOST", cluster::NAME).env("KUBERNETES_SERVICE_PORT", api.port.to_string());
    // Nobody listens there: the metadata service isn't needed to become ready.
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9");
    command.env("AWS_ENDPOINT_URL_STS", "https://sts.absent.test");
    command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "of-no-use");
    let log = certificates.join("log");
    let _agent = Agent(command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap());

    let ready = comes_true(|| cluster::status_of(port, "/readyz") == 200);
    let requests: Vec<(String, String)> = api.requests.try_iter().collect();
    assert!(ready, "not ready; the API server was asked {requests:?}");
    assert!(asked.try_recv().is_ok(), "the name was never resolved");
    let logged = || fs::read_to_string(&log).unwrap();
    let is_said = comes_true(|| logged().contains("there is no such host (host `sts.absent.test`"));
    assert!(is_said, "{}", logged());
    for list in ["/api/v1/pods?", "/api/v1/namespaces?"] {
        assert!(requests.iter().any(|(first, _)| first.starts_with(&format!("GET {list}"))), "{requests:?}");
    }
    let bearer = format!("Bearer {}", cluster::TOKEN);
    assert!(requests.iter().all(|(_, authorization)| *authorization == bearer), "{requests:?}");
    fs::remove_dir_all(root).unwrap();
}
