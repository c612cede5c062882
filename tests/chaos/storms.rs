//! Bad weather on the way to the API server, to STS, to the metadata service, and to all of them.

use std::sync::Arc;
use std::time::Duration;

use super::clients::{Clients, Silence};
use super::random;
use super::relay::Relay;
use super::site::{Pod, Site, assert_alive};

/// So many storms in a test.
const STORMS: usize = 3;
/// So many times in a storm all connections are cut, after some harm or some time: a call that has met with silence would
/// wait it out.
const GUSTS: usize = 4;
const HARM: usize = 3;
const LONGEST_GUST: Duration = Duration::from_millis(1_200);
const PODS: usize = 6;

/// Storms between the agent and the services chosen, with pods that ask all the time and new ones in every storm.
fn weather(ways: impl Fn(&Site) -> Vec<&Relay>) {
    let mut random = random::of_run();
    let site = Site::set_up(&mut random);
    let mut pods = site.add_pods(PODS);
    let mut agent = site.setup().start();
    site.await_all(&agent, &pods);
    let site = Arc::new(site);
    let clients = Clients::start(agent.addr(), &pods, &site, Silence::Fault);
    for storm in 1..=STORMS {
        let ways = ways(&site);
        ways.iter().for_each(|way| way.storm());
        let newcomer = Pod::number(PODS + storm);
        site.lab.kubernetes.add_pod(newcomer.spec());
        pods.push(newcomer);
        for _ in 0..GUSTS {
            ways.iter().for_each(|way| way.wait_for_harm(HARM, LONGEST_GUST / ways.len() as u32));
            assert_alive(&agent);
            ways.iter().for_each(|way| way.cut());
        }
        ways.iter().for_each(|way| way.calm());
        site.await_all(&agent, &pods);
        println!(
            "storm {storm}: {:?} harmed, {} served",
            ways.iter().map(|way| way.harmed()).collect::<Vec<_>>(),
            clients.served()
        );
    }
    assert!(clients.end() > 0);
    let harmed: usize = ways(&site).iter().map(|way| way.harmed()).sum();
    assert!(harmed > 0, "no connection came to harm");
    site.assert_sound(&mut agent);
}

#[test]
fn storms_before_the_api_server() {
    weather(|site| vec![&site.api]);
}

#[test]
fn storms_before_sts() {
    weather(|site| vec![&site.sts]);
}

#[test]
fn storms_before_the_metadata_service() {
    weather(|site| vec![&site.metadata]);
}

#[test]
fn storms_everywhere() {
    weather(|site| site.relays().to_vec());
}
