//! The memory limit of the manifests, as a control group sets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::{Clients, Silence};
use super::limits::status;
use super::random;
use super::site::{Pod, Site, crowd};
use super::standins::agent::{Setup, test_binary};

/// `resources.limits.memory` of `manifests/base`.
const LIMIT: u64 = 64 << 20;
/// The door takes 1,024.
const CROWD: usize = 1_100;
const PODS: usize = 500;

/// A control group of its own, gone when dropped.
struct Group {
    path: PathBuf,
    limit: &'static str,
    peak: &'static str,
}

impl Group {
    /// `None` where no group can be made.
    fn make() -> Option<Self> {
        let name = format!("kube2iam-chaos-{}", std::process::id());
        let versions =
            [("memory/", "memory.limit_in_bytes", "memory.max_usage_in_bytes"), ("", "memory.max", "memory.peak")];
        versions.into_iter().find_map(|(mount, limit, peak)| {
            let path = Path::new("/sys/fs/cgroup").join(mount).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self { path, limit, peak };
            fs::write(group.path.join(limit), LIMIT.to_string()).ok()?;
            Some(group)
        })
    }

    fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.path.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may take a moment to see that the last process has gone.
        let late = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < late {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_full_door_fits_into_the_memory_that_the_manifests_give() {
    let Some(group) = Group::make() else {
        // Control groups are often not a test's to make, root or not.
        eprintln!("\nSKIPPED, not tested here: a limit on memory (needs a writable /sys/fs/cgroup)\n");
        return;
    };
    let site = Site::set_up(&mut random::of_run());
    let pods = site.add_pods(PODS);
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.path.display());
    let setup = Setup::of(Path::new("/bin/sh")).flags(&["-c", &enter, &test_binary().display().to_string()]);
    let mut agent = site.configure(setup).start();
    site.await_all(&agent, &pods[..20]);
    let site = Arc::new(site);
    let clients = Clients::start(agent.addr(), &pods[..6], &site, Silence::Fault);
    for round in 0..2 {
        let crowd = crowd(agent.addr(), CROWD);
        let newcomer = Pod::number(PODS + 1 + round);
        site.lab.kubernetes.add_pod(newcomer.spec());
        site.await_all(&agent, &[newcomer]);
        println!("{} in the crowd: {} KiB resident", crowd.len(), status(&agent, "VmRSS"));
    }
    assert!(clients.end() > 0);
    site.assert_sound(&mut agent);
    println!("at most {:?} bytes of {LIMIT} ({})", group.peak(), group.limit);
    drop(agent);
}
