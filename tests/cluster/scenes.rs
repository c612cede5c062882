//! What the agent promises about pods and namespaces, scene by scene.

use super::random;
use super::relay::Relay;
use super::stage::{ALLOWED, ROLE, Stage};
use super::standins::kubernetes::{Break, Kind};

pub fn role_by_annotation(stage: &Stage) {
    let agent = stage.agent(&[]);
    let address = stage.address(1);
    stage.api.create_pod(&stage.namespace, "a", &[(ROLE, "app")]);
    assert_eq!(stage.ask(&agent, &address, "app").status, 404, "it has no address yet");
    stage.api.set_status(&stage.namespace, "a", "Running", &address);
    stage.expect(&agent, &address, "app", Ok(()));
    assert_eq!(stage.ask(&agent, &address, "other").status, 403);
    assert_eq!(stage.ask(&agent, &stage.address(2), "app").status, 404);
}

pub fn another_annotation(stage: &Stage) {
    let agent = stage.agent(&[]);
    let address = stage.address(1);
    stage.run("a", &address, "old");
    stage.expect(&agent, &address, "old", Ok(()));
    stage.api.annotate_pod(&stage.namespace, "a", ROLE, "new");
    stage.expect(&agent, &address, "new", Ok(()));
    assert_eq!(stage.ask(&agent, &address, "old").status, 403);
}

pub fn restrictions_change(stage: &Stage) {
    let agent = stage.agent(&["--namespace-restrictions"]);
    let address = stage.address(1);
    stage.run("a", &address, "app");
    stage.expect(&agent, &address, "app", Err(404));
    stage.api.annotate_namespace(&stage.namespace, ALLOWED, r#"["other", "app"]"#);
    stage.expect(&agent, &address, "app", Ok(()));
    stage.api.annotate_namespace(&stage.namespace, ALLOWED, r#"["other"]"#);
    stage.expect(&agent, &address, "app", Err(404));
}

pub fn finished_pod(stage: &Stage) {
    let agent = stage.agent(&[]);
    let address = stage.address(1);
    stage.run("a", &address, "app");
    stage.expect(&agent, &address, "app", Ok(()));
    stage.api.set_status(&stage.namespace, "a", "Succeeded", &address);
    stage.expect(&agent, &address, "app", Err(404));
}

/// After a pod that has finished, and after one that was deleted.
pub fn address_used_again(stage: &Stage) {
    let agent = stage.agent(&[]);
    let address = stage.address(1);
    stage.run("first", &address, "one");
    stage.expect(&agent, &address, "one", Ok(()));
    stage.api.set_status(&stage.namespace, "first", "Failed", &address);
    stage.run("second", &address, "two");
    stage.expect(&agent, &address, "two", Ok(()));
    assert_eq!(stage.ask(&agent, &address, "one").status, 403);
    stage.api.delete_pod(&stage.namespace, "first");
    stage.api.delete_pod(&stage.namespace, "second");
    stage.run("third", &address, "three");
    stage.expect(&agent, &address, "three", Ok(()));
    assert_eq!(stage.ask(&agent, &address, "two").status, 403);
}

/// The first list comes in pages, and who is on the last of them is known.
pub fn more_than_a_page(stage: &Stage) {
    (0..PAGE_ITEMS).for_each(|number| stage.api.create_pod(&stage.namespace, &format!("filler-{number}"), &[]));
    let [first, last] = [1, 2].map(|pod| stage.address(pod));
    stage.run("a-first", &first, "one");
    stage.run("z-last", &last, "two");
    let agent = stage.agent(&[]);
    stage.expect(&agent, &first, "one", Ok(()));
    stage.expect(&agent, &last, "two", Ok(()));
    stage.api.delete_pod(&stage.namespace, "z-last");
    stage.expect(&agent, &last, "two", Err(404));
}

/// What happens while nobody watches is known afterwards: by going on where the watch was, or by a new list.
pub fn watch_is_cut(stage: &Stage) {
    let Some(server) = stage.loopback() else {
        println!("left out: the API server is not at a loopback address");
        return;
    };
    let relay = Relay::start(server, random::of_run());
    let text = std::fs::read_to_string(&stage.kubeconfig).unwrap();
    let scheme = stage.api.server.split("://").next().unwrap();
    let by_relay = text.replace(&stage.api.server, &format!("{scheme}://{}", relay.address()));
    assert_ne!(by_relay, text, "the kubeconfig spells the server in another way");
    let mut agent = stage.agent_by(&stage.write_kubeconfig("by-relay", &by_relay));
    agent.wait_ready();
    let [goes, comes, stays] = [1, 2, 3].map(|pod| stage.address(pod));
    stage.run("goes", &goes, "one");
    stage.run("stays", &stays, "three");
    stage.expect(&agent, &goes, "one", Ok(()));
    relay.cut();
    stage.api.delete_pod(&stage.namespace, "goes");
    stage.run("comes", &comes, "two");
    stage.expect(&agent, &comes, "two", Ok(()));
    stage.expect(&agent, &goes, "one", Err(404));
    stage.expect(&agent, &stays, "three", Ok(()));
    if stage.is_stand_in {
        // A real server forgets its history in its own time.
        stage.lab.kubernetes.compact();
        stage.lab.kubernetes.break_watches(Kind::Pod, Break::Gone);
        stage.api.delete_pod(&stage.namespace, "comes");
        stage.expect(&agent, &comes, "two", Err(404));
        agent.wait_for_log("listing pods of");
    }
}

/// What the agent asks for at once.
const PAGE_ITEMS: usize = 500;
