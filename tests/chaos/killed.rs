//! kill -9 and a new start on the same port, while pods ask.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::clients::{Clients, Silence, try_get, try_send};
use super::random;
use super::site::{Pod, Site};
use super::standins::agent::{Agent, Setup, free_port};
use super::standins::client::{Ask, TOKEN_HEADER, TTL_HEADER, token};

const KILLS: usize = 3;
const PODS: usize = 6;

/// What lives on from one agent to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    StateDirectory,
    Nothing,
}

/// An agent of the site on this port.
fn setup(site: &Site, port: u16, kept: Kept) -> Setup {
    let setup = site.setup().port(port);
    let directory = format!("--state-dir={}", site.directory().join("state").display());
    if kept == Kept::StateDirectory { setup.flags(&[&directory]) } else { setup }
}

fn kill(agent: &mut Agent) {
    agent.signal(Signal::KILL);
    // Ended already, it is only waited for.
    let _ = agent.stop();
}

/// The status that a request with a token gets, and whether the token was taken for the pod's: the answer then says how
/// long it is still good. Whether STS is quick is not the question: 503 is asked again.
fn with_token(agent: &Agent, pod: &Pod, token: &str) -> (u16, bool) {
    let ask = Ask::get(&pod.path()).header(TOKEN_HEADER, token);
    let mut answers = (0..10).map(|_| try_send(agent.addr(), &pod.address, &ask).unwrap());
    let answer = answers.find(|answer| answer.status != 503);
    answer.map_or((503, false), |answer| (answer.status, answer.header(TTL_HEADER).is_some()))
}

fn killed_again_and_again(kept: Kept) {
    let site = Arc::new(Site::set_up(&mut random::of_run()));
    let pods = site.add_pods(PODS);
    let port = free_port();
    let mut agent = setup(&site, port, kept).start();
    site.await_all(&agent, &pods);
    let clients = Clients::start(agent.addr(), &pods, &site, Silence::Allowed);
    for _ in 0..KILLS {
        clients.go_on_for(20, Duration::from_secs(20));
        let early = token(agent.addr(), &pods[0].address);
        kill(&mut agent);
        site.assert_log_is_clean(&agent);
        agent = setup(&site, port, kept).start();
        site.await_all(&agent, &pods);
        let expected = (200, kept == Kept::StateDirectory);
        assert_eq!(with_token(&agent, &pods[0], &early), expected, "{kept:?}");
    }
    assert!(clients.end() > 0);
    site.assert_sound(&mut agent);
}

#[test]
fn killed_under_load_with_a_state_directory() {
    killed_again_and_again(Kept::StateDirectory);
}

#[test]
fn killed_under_load_without_a_state_directory() {
    killed_again_and_again(Kept::Nothing);
}

/// While no agent looks, one pod goes and another gets its address.
fn address_passes_on_meanwhile(kept: Kept) {
    let site = Site::set_up(&mut random::of_run());
    let before = site.add_pods(1).remove(0);
    let after = Pod { address: before.address.clone(), role: "heir".to_owned() };
    let port = free_port();
    let mut agent = setup(&site, port, kept).start();
    site.await_all(&agent, std::slice::from_ref(&before));
    let early = token(agent.addr(), &before.address);
    kill(&mut agent);
    site.lab.kubernetes.delete_pod("default", &before.role);
    site.lab.kubernetes.add_pod(after.spec());
    let mut agent = setup(&site, port, kept).until(super::standins::agent::Until::Listening).start();
    for _ in 0..20 {
        let answer = try_get(agent.addr(), &before.address, &before.path()).unwrap();
        assert_ne!(answer.status, 200, "{kept:?}: {}", answer.text());
        assert_ne!(with_token(&agent, &before, &early).0, 200, "{kept:?}");
    }
    site.await_all(&agent, std::slice::from_ref(&after));
    // What was the other's is worth nothing to the heir; without its key it says nothing at all.
    let status = if kept == Kept::StateDirectory { 401 } else { 200 };
    assert_eq!(with_token(&agent, &after, &early), (status, false), "{kept:?}");
    site.assert_sound(&mut agent);
}

#[test]
fn an_address_that_passes_on_while_the_agent_is_dead_brings_nothing_of_the_old_pod() {
    address_passes_on_meanwhile(Kept::StateDirectory);
    address_passes_on_meanwhile(Kept::Nothing);
}
