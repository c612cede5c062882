use super::super::tests::key;
use super::*;

fn of(role: &str, session: u32) -> Arc<AssumeRole> {
    Arc::new(AssumeRole { session_name: format!("s{session}"), ..key(role) })
}

fn drain(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).map(|key| format!("{} {}", key.role.name(), key.session_name)).collect()
}

#[test]
fn a_role_with_many_keys_does_not_delay_other_roles() {
    let mut queue = Queue::default();
    (0..4).for_each(|session| queue.push(of("greedy", session)));
    queue.push(of("a", 0));
    queue.push(of("b", 0));
    assert_eq!(drain(&mut queue), ["greedy s0", "a s0", "b s0", "greedy s1", "greedy s2", "greedy s3"]);
    assert_eq!((queue.len(), queue.is_empty()), (0, true));
}

#[test]
fn removed_keys_leave_nothing_behind() {
    let mut queue = Queue::default();
    ["a", "b", "c"].iter().for_each(|role| queue.push(of(role, 0)));
    queue.push(of("a", 1));
    queue.remove(&of("b", 0));
    queue.remove(&of("a", 0));
    queue.remove(&of("never", 0));
    assert_eq!(queue.len(), 2);
    queue.retain(|key| key.role.name() != "c");
    assert_eq!(drain(&mut queue), ["a s1"]);
    assert!(queue.roles.is_empty() && queue.keys.is_empty());
}
