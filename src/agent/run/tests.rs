use super::*;
use crate::config::{Command, parse};
use crate::logic::operator::log_line::Taken;

/// An agent whose API server is unreachable; the tests make no calls.
fn agent() -> (Arc<AgentState>, Arc<Latch>) {
    let words = ["--api-server=http://127.0.0.1:1", "--api-token=x"].into_iter().map(str::to_owned);
    let config = match parse(words, &|_| None) {
        Ok(Command::Run(config)) => config,
        other => panic!("{other:?}"),
    };
    let time = Arc::new(SystemClock::new());
    let latch = Arc::new(Latch::new(time.clone()));
    let environment = AwsEnvironment::from_lookup(&|_| None);
    let ports = Ports::open(&config, &environment, time, None).unwrap();
    (AgentState::new(&config, ports, latch.clone(), Box::new(|_| Taken::Yes)).unwrap(), latch)
}

#[test]
fn panicking_thread_ends_the_agent_with_a_failure() {
    let (agent, latch) = agent();
    start(&agent, "good", |_| {}).unwrap().join().unwrap();
    assert!(!latch.is_closed() && failure(&agent).is_ok());
    start(&agent, "bad", |_| panic!("planned")).unwrap().join().unwrap();
    assert!(latch.is_closed());
    let error = failure(&agent).unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().as_str()), (1, "failed to keep `bad` running: it panicked"));
}

/// Pods are evaluated in batches; none may be left out.
#[test]
fn housekeeping_covers_every_pod() {
    use crate::logic::cluster::kubernetes::{Event, Object, Pod};
    use crate::logic::cluster::world::tests::pod;
    use crate::logic::policy::tests::rules;
    let (agent, _) = agent();
    assert_eq!(housekeeping::entitled(&agent), None);
    agent.world.set_rules(rules());
    for index in 0..600_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + index).to_string();
        let pod = Pod { role: Some(format!("role-{index}")), ..pod(&index.to_string(), &address) };
        agent.world.apply(Resource::Pods, Event::InitApply(Object::Pod(pod)));
    }
    agent.world.apply(Resource::Pods, Event::InitDone);
    agent.world.apply(Resource::Namespaces, Event::InitDone);
    assert_eq!(housekeeping::entitled(&agent).unwrap().len(), 600);
}

#[test]
fn metrics_show_the_age_of_the_world_and_open_connections() {
    let (agent, _) = agent();
    let metrics = &agent.telemetry.metrics;
    metrics.count_connections(vec![Box::new(|| 2), Box::new(|| 3)]);
    metrics.sample(&agent.sessions.counts(), &[(Resource::Pods, Duration::from_secs(7))]);
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    for line in [
        "kube2iam_connections 5\n",
        "kube2iam_watch_age_seconds{resource=\"pods\"} 7\n",
        "kube2iam_watch_unreadable_total{resource=\"pods\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
