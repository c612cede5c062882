//! What tenants write costs nobody else anything: neither time nor memory beyond their bounds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::site::{BASE, ROLES, Site};
use super::standins::Lab;
use super::standins::agent::{Agent, Until};
use super::standins::client;
use super::standins::hostile::{self, ALLOWED_ROLES, longest_role, slowest_list};
use super::standins::kubernetes::PodSpec;

const FORMAT: &str = "--namespace-restriction-format=regexp";
const RESTRICTED: &str = "--namespace-restrictions";

/// One expression takes milliseconds, the whole list with many roles seconds: who isn't in the namespace doesn't notice.
#[test]
fn a_list_that_takes_long_delays_no_other_namespace() {
    let lab = Lab::start();
    let hostile = |index: usize, round: usize| {
        let address = format!("127.0.3.{}", index + 1);
        PodSpec::new("hostile", &format!("pod-{index}")).ip(&address).role(&longest_role(round * 100 + index))
    };
    lab.kubernetes.add_namespace("hostile", &[(ALLOWED_ROLES, &slowest_list(0))]);
    lab.kubernetes.add_namespace("shop", &[(ALLOWED_ROLES, r#"["app-.*"]"#)]);
    (0..8).for_each(|index| drop(lab.kubernetes.add_pod(hostile(index, 0))));
    let agent = lab.setup().flags(&[BASE, RESTRICTED, FORMAT]).start();
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let goes_on = || !done.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(60);
    let answers: Vec<(u16, String, Duration)> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in (1..).take_while(|_| goes_on()) {
                lab.kubernetes.add_namespace("hostile", &[(ALLOWED_ROLES, &slowest_list(round))]);
                (0..8).for_each(|index| drop(lab.kubernetes.add_pod(hostile(index, round))));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for index in 0..8 {
            let (agent, goes_on) = (&agent, &goes_on);
            scope.spawn(move || {
                while goes_on() {
                    client::get(agent.addr(), &format!("127.0.3.{}", index + 1), ROLES);
                }
            });
        }
        let newcomer = |number: usize| {
            std::thread::sleep(Duration::from_millis(100));
            let (address, role) = (format!("127.0.4.{}", number + 1), format!("app-{number}"));
            let began = Instant::now();
            lab.kubernetes.add_pod(PodSpec::new("shop", &role).ip(&address).role(&role));
            let answer = client::get(agent.addr(), &address, ROLES);
            (answer.status, answer.text(), began.elapsed())
        };
        let answers = (0..20).map(newcomer).collect();
        done.store(true, Ordering::Relaxed);
        answers
    });
    for (number, (status, text, waited)) in answers.iter().enumerate() {
        assert_eq!((*status, text), (200, &format!("app-{number}")), "after {waited:?}");
        assert!(*waited < LONGEST_WAIT, "{answers:?}");
    }
}

/// Every one of them needs seconds; a namespace that hasn't had a turn waits for a single match of one of them.
#[test]
fn a_new_namespace_is_answered_while_two_hundred_slow_lists_are_evaluated() {
    let lab = Lab::start();
    for index in 0..200 {
        let (namespace, address) = (format!("hostile-{index}"), format!("127.0.5.{}", index + 1));
        lab.kubernetes.add_namespace(&namespace, &[(ALLOWED_ROLES, &slowest_list(index))]);
        lab.kubernetes.add_pod(PodSpec::new(&namespace, "pod").ip(&address).role(&longest_role(index)));
    }
    let agent = lab.setup().flags(&[BASE, RESTRICTED, FORMAT]).start();
    let newcomer = |number: usize| {
        let (namespace, role) = (format!("shop-{number}"), format!("app-{number}"));
        let address = format!("127.0.6.{}", number + 1);
        lab.kubernetes.add_namespace(&namespace, &[(ALLOWED_ROLES, r#"["app-.*"]"#)]);
        let began = Instant::now();
        lab.kubernetes.add_pod(PodSpec::new(&namespace, &role).ip(&address).role(&role));
        let answer = client::get(agent.addr(), &address, ROLES);
        (answer.status, answer.text(), began.elapsed())
    };
    let answers: Vec<(u16, String, Duration)> = (0..20).map(newcomer).collect();
    for (number, (status, text, waited)) in answers.iter().enumerate() {
        assert_eq!((*status, text), (200, &format!("app-{number}")), "after {waited:?}");
        assert!(*waited < LONGEST_WAIT, "{answers:?}");
    }
    let slow = client::get(agent.addr(), "127.0.5.200", ROLES);
    assert_eq!((slow.status, slow.text().as_str()), (503, "policy_pending\n"), "nothing was to be waited for");
}

/// What is promised for an optimised build on a quiet machine is 50 ms; this one is neither.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

#[test]
fn finished_and_host_network_pods_are_kept_without_what_their_annotations_say() {
    let site = Site::open(&[]);
    let before = resident_kib(&site.agent);
    let policy = format!("{{\"a\":\"{}\"}}", "x".repeat(15_000)); // as much as is read of one
    for index in 0..1_000 {
        let pod = PodSpec::new("default", &format!("done-{index}")).role(&longest_role(index));
        let pod =
            pod.annotation("iam.amazonaws.com/policy", &policy).annotation("iam.amazonaws.com/external-id", &policy);
        site.lab.kubernetes.add_pod(if index % 2 == 0 { pod.phase("Succeeded") } else { pod.host_network() });
    }
    site.lab.kubernetes.add_pod(PodSpec::new("default", "last").ip("127.0.0.8").role("last"));
    assert_eq!(client::get(site.addr(), "127.0.0.8", ROLES).text(), "last");
    settle_below(&site.agent, before + 6 * 1_024);
}

/// The worst that the bounds allow, each text another: 5,000 pods in 200 namespaces.
#[test]
fn five_thousand_hostile_pods_and_two_hundred_lists_fit_into_forty_mebibytes() {
    let lab = Lab::start();
    hostile::crowd(&lab.kubernetes);
    let mut agent = lab.setup().flags(&[BASE, RESTRICTED]).until(Until::Started).start();
    agent.wait_ready_within(Duration::from_secs(120));
    settle_below(&agent, 40 * 1_024);
    agent.wait_for_log("no entry allows");
    let beyond = agent.log().into_iter().find(|line| line.contains("gets nothing"));
    assert_eq!(beyond, None, "a crowd beyond the bounds would be smaller than the worst");
}

/// Waits until no more than so much memory is resident: what reading the lists took goes back to the system at the next
/// housekeeping.
fn settle_below(agent: &Agent, most_kib: u64) {
    let until = Instant::now() + Duration::from_secs(30);
    let mut resident = resident_kib(agent);
    while resident > most_kib && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
        resident = resident_kib(agent);
    }
    println!("{resident} KiB resident");
    assert!(resident <= most_kib, "{resident} KiB resident, {most_kib} at most");
}

/// Memory of the agent's own: of its file an optimised build has [`FILE_KIB`] resident at most, this one several times
/// as much.
fn resident_kib(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() + FILE_KIB
}

/// The whole file may have 4.75 MiB.
const FILE_KIB: u64 = 4_864;
