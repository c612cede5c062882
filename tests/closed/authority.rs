//! What the running agent may do, and what it says: as little as possible, and no secret.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::network::{in_private_network, skip};
use crate::site::{BASE, NOBODY, OWN, POD, REGION, ROLES, Site};
use crate::standins::agent::{Agent, Setup, Until, test_binary};
use crate::standins::client::{self, Ask, TOKEN_HEADER, TTL_HEADER};
use crate::standins::kubernetes::{Kind, On, PodSpec, Refusal};
use crate::standins::metadata::{MetadataFault, NODE_CANARY};
use crate::standins::sts::StsFault;
use crate::standins::{Lab, Times};

/// A line of a thread's status.
fn status<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no `{name}` in {status}")).trim()
}

/// The status of each thread of the agent.
fn threads(agent: &Agent) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    // A worker may leave between the two.
    let threads: Vec<_> = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok()).collect();
    assert!(threads.len() > 10, "{} threads", threads.len());
    threads
}

fn assert_capabilities(agent: &Agent, kept: u64) {
    for thread in threads(agent) {
        let name = status(&thread, "Name");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let held = u64::from_str_radix(status(&thread, set), 16).unwrap();
            let kept = if matches!(set, "CapInh" | "CapAmb") { 0 } else { kept };
            let may_lower = rustix::process::geteuid().is_root() || set != "CapBnd";
            assert!(held == kept || !may_lower, "thread `{name}` has {set} {held:x}, not {kept:x}");
        }
        assert_eq!(status(&thread, "NoNewPrivs"), "1", "thread `{name}`");
    }
}

#[test]
fn no_thread_keeps_a_right_that_it_has_no_use_for() {
    let site = Site::open(&[]);
    assert_eq!(site.get(OWN).status, 200);
    assert_capabilities(&site.agent, 0);
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.agent.pid())).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    let files = limit("Max open files");
    assert!(files[0] == files[1] || files[0].parse::<u64>().unwrap() >= 4_096, "{files:?}");
}

/// On a node that grants everything: what is left is what the packet filter takes.
#[test]
fn the_redirect_keeps_the_one_right_that_it_needs() {
    const NET_ADMIN: u64 = 1 << 12;
    in_private_network(|| {
        let lab = Lab::start();
        let agent = lab.setup().flags(&[BASE, "--iptables=true", "--host-ip=127.0.0.1"]).start();
        assert_capabilities(&agent, NET_ADMIN);
    });
}

#[test]
fn a_low_port_costs_the_one_right_that_it_takes() {
    const NET_BIND_SERVICE: u64 = 1 << 10;
    in_private_network(|| {
        let lab = Lab::start();
        let agent = lab.setup().flags(&[BASE]).port(80).start();
        assert_capabilities(&agent, NET_BIND_SERVICE);
    });
}

/// The kernel gives what belongs to a process that can't be traced or dumped to root.
#[test]
fn nobody_else_can_look_into_the_process() {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).exists());
    let Some(setpriv) = setpriv.filter(|_| rustix::process::geteuid().is_root()) else {
        return skip("running the agent as another user takes root and `setpriv`");
    };
    let directory = std::env::temp_dir().join(format!("kube2iam-authority-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = directory.join("kube2iam");
    fs::copy(test_binary(), &binary).unwrap();
    let lab = Lab::start();
    let program = Setup::of(Path::new(setpriv)).flags(&["--reuid=65534", "--clear-groups", binary.to_str().unwrap()]);
    let agent = lab.configure(program).start();
    let owner = fs::metadata(format!("/proc/{}/environ", agent.pid())).unwrap().uid();
    let user = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    drop(agent);
    fs::remove_dir_all(&directory).unwrap();
    assert!(status(&user, "Uid").starts_with("65534"), "{user}");
    assert_eq!(owner, 0, "its environment can be read by all programs of its user");
}

/// Everything that can go well or wrong, with the log at its most talkative.
#[test]
fn no_secret_is_ever_logged() {
    for format in ["text", "json"] {
        let lab = Lab::start();
        lab.kubernetes.add_pod(PodSpec::new("default", "web").ip(POD).role("app"));
        lab.kubernetes.add_pod(PodSpec::new("default", "denied").ip("127.0.0.8").role("denied"));
        let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
        lab.sts.fault(Some(&role("denied")), StsFault::ACCESS_DENIED, Times::Always);
        lab.sts.fault(Some(&role("app")), StsFault::Garbage, Times::Next(1));
        lab.sts.fault(Some(&role("app")), StsFault::HalfBody, Times::Next(1));
        let flags = [
            BASE,
            "--log-level=trace",
            "--verbose",
            &format!("--log-format={format}"),
            "--iam-role-error-ttl=0s",
            "--debug",
        ];
        let setup = lab.setup().flags(&flags).until(Until::Listening);
        // The node's own credentials come from the metadata service.
        let agent = setup.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").start();
        let mut secrets = vec![client::token(agent.addr(), POD), client::token(agent.addr(), NOBODY)];
        for _ in 0..10 {
            client::get(agent.addr(), POD, OWN);
        }
        assert_eq!(client::get(agent.addr(), POD, OWN).status, 200);
        for token in secrets.clone() {
            for path in [ROLES, OWN, REGION, "/latest/meta-data/iam/security-credentials-extended/app"] {
                Ask::get(path).header(TOKEN_HEADER, &token).send(agent.addr(), POD);
            }
        }
        secrets.push("FORGED-TOKEN-CANARY".to_owned());
        Ask::get(OWN).header(TOKEN_HEADER, "FORGED-TOKEN-CANARY").send(agent.addr(), POD);
        Ask::new("PUT", "/latest/api/token").header(TTL_HEADER, "bad").send(agent.addr(), POD);
        client::get(agent.addr(), "127.0.0.8", "/latest/meta-data/iam/security-credentials/denied");
        lab.metadata.fault(REGION, MetadataFault::HalfBody, Times::Next(2));
        client::get(agent.addr(), POD, REGION);
        lab.metadata.expire_tokens();
        client::get(agent.addr(), POD, REGION);
        for page in ["/metrics", "/debug/store", "/healthz"] {
            client::get_as_operator(agent.addr(), page);
        }
        lab.kubernetes.refuse(On::Watch(Kind::Pod), Refusal::Status { code: 401, retry_after_s: None }, Times::Next(1));
        lab.kubernetes.break_watches(Kind::Pod, crate::standins::kubernetes::Break::End);
        agent.wait_for_log("127.0.0.8");
        let lines = agent.log().len();
        assert!(lines > 20, "{lines} lines: the log says too little for this to mean anything");
        lab.assert_log_is_clean(&agent);
        let log = agent.log().join("\n");
        secrets.push(format!("{NODE_CANARY}-role"));
        for secret in secrets {
            assert!(!log.contains(&secret), "the log holds `{secret}`:\n{log}");
        }
    }
}
