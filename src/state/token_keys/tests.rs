//! Two agents that share a store.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::logic::base::time::Now;
use crate::logic::identity::metadata_token::Bearer;

const NOON: Wall = Wall::from_unix_seconds(1_800_000_000);
const HALF_A_DAY: Duration = Duration::from_secs(12 * 3_600);
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

/// A clock set by the test.
#[derive(Default)]
struct NodeClock(Mutex<Duration>);

impl NodeClock {
    fn pass(&self, span: Duration) {
        *self.0.lock() += span;
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Now {
        let since = *self.0.lock();
        Now { mono: Mono::default().after(since), wall: NOON.after(since) }
    }
}

/// The condition of the store.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Sound,
    /// Its lock is held.
    Held,
    /// It holds an invalid record.
    Garbled,
    /// Writing fails.
    Full,
}

#[derive(Default)]
struct MemoryKeyStore {
    record: Mutex<Option<TokenKeys>>,
    state: Mutex<State>,
    reads: AtomicUsize,
}

impl MemoryKeyStore {
    fn found(&self) -> Result<Option<TokenKeys>, String> {
        match *self.state.lock() {
            State::Garbled => Err("garbled".to_owned()),
            _ => Ok(self.record.lock().clone()),
        }
    }
}

impl KeyStore for MemoryKeyStore {
    fn read(&self) -> Result<Option<TokenKeys>, String> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.found()
    }

    fn update(
        &self,
        change: &mut dyn FnMut(Result<Option<TokenKeys>, String>) -> Option<TokenKeys>,
    ) -> Result<(), String> {
        let state = *self.state.lock();
        if state == State::Held {
            return Err("held".to_owned());
        }
        match (change(self.found()), state) {
            (Some(_), State::Full) => return Err("full".to_owned()),
            (Some(keys), _) => {
                *self.record.lock() = Some(keys);
                *self.state.lock() = State::Sound;
            }
            (None, _) => {}
        }
        Ok(())
    }
}

#[derive(Default)]
struct Node {
    clock: Arc<NodeClock>,
    store: Arc<MemoryKeyStore>,
}

impl Node {
    fn agent(&self, secret: u8) -> Keyring {
        let (keyring, trouble) = self.troubled_agent(secret);
        assert_eq!(trouble, None);
        keyring
    }

    fn troubled_agent(&self, secret: u8) -> (Keyring, Option<StoreTrouble>) {
        Keyring::open(Some(self.store.clone()), &[secret; 32], self.clock.clone())
    }

    fn token(&self, of: &Keyring) -> String {
        of.current().issue(Bearer::Address(PEER), 21_600, self.clock.now().wall)
    }

    fn takes(&self, by: &Keyring, token: &str) -> bool {
        by.keys_for(Some(token.as_bytes())).check(token.as_bytes(), PEER, None, self.clock.now().wall).is_some()
    }
}

#[test]
fn successor_and_predecessor_accept_each_others_tokens() {
    let node = Node::default();
    let (old, new) = (node.agent(1), node.agent(2));
    assert!(node.takes(&new, &node.token(&old)) && node.takes(&old, &node.token(&new)));
    assert_eq!(node.store.reads.load(Ordering::Relaxed), 0);
}

#[test]
fn rotation_by_one_agent_is_adopted_by_the_other_and_not_repeated() {
    let node = Node::default();
    let (old, new) = (node.agent(1), node.agent(2));
    node.clock.pass(HALF_A_DAY);
    let before = node.token(&old);
    assert!(old.is_rotation_due() && new.is_rotation_due());
    assert_eq!(new.rotate(&[3; 32]), None);
    let after = node.token(&new);
    assert!(node.takes(&new, &before) && node.takes(&old, &after) && node.takes(&old, &before));
    assert!(!old.is_rotation_due());
    assert_eq!(old.rotate(&[4; 32]), None);
    assert!(node.takes(&new, &node.token(&old)), "it adopted the rotated keys");
    assert_eq!(node.store.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn overdue_stored_keys_are_rotated_at_start() {
    let node = Node::default();
    let token = node.token(&node.agent(1));
    node.clock.pass(HALF_A_DAY);
    let late = node.agent(2);
    assert!(!late.is_rotation_due());
    assert!(!late.current().lacks_key_of(token.as_bytes()));
    assert!(
        node.agent(3)
            .current()
            .lacks_key_of(TokenKeys::new(&[3; 32], NOON).issue(Bearer::Address(PEER), 1, NOON).as_bytes())
    );
}

#[test]
fn forged_tokens_cause_one_read_per_second_at_most() {
    let node = Node::default();
    let agent = node.agent(1);
    let forged = TokenKeys::new(&[9; 32], NOON).issue(Bearer::Address(PEER), 60, NOON);
    for _ in 0..100 {
        assert!(!node.takes(&agent, &forged));
        node.clock.pass(Duration::from_millis(99));
    }
    assert_eq!(node.store.reads.load(Ordering::Relaxed), 10);
    assert!(!node.takes(&agent, "no token"));
    agent.keys_for(None);
    assert_eq!(node.store.reads.load(Ordering::Relaxed), 10);
}

#[test]
fn read_for_a_forged_token_adopts_the_keys_of_another_agent() {
    let node = Node::default();
    let (old, new) = (node.agent(1), node.agent(2));
    node.clock.pass(HALF_A_DAY);
    assert_eq!(new.rotate(&[3; 32]), None);
    let forged = TokenKeys::new(&[9; 32], NOON).issue(Bearer::Address(PEER), 60, NOON);
    assert!(!node.takes(&old, &forged));
    assert!(node.takes(&old, &node.token(&new)), "no further read is allowed in this second");
    assert_eq!(node.store.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn invalid_record_is_reported_and_replaced_by_new_keys() {
    let node = Node::default();
    *node.store.state.lock() = State::Garbled;
    let (old, trouble) = node.troubled_agent(1);
    assert_eq!(trouble.as_deref(), Some("garbled"));
    assert!(node.takes(&node.agent(2), &node.token(&old)));
}

#[test]
fn unwritable_store_is_reported_and_keys_still_rotate() {
    for state in [State::Full, State::Held] {
        let node = Node::default();
        *node.store.state.lock() = state;
        let (agent, trouble) = node.troubled_agent(1);
        assert!(trouble.is_some());
        let token = node.token(&agent);
        node.clock.pass(HALF_A_DAY);
        assert!(agent.is_rotation_due());
        assert!(agent.rotate(&[2; 32]).is_some());
        assert!(!agent.is_rotation_due());
        assert!(!agent.current().lacks_key_of(token.as_bytes()));
    }
}

#[test]
fn stuck_agent_does_not_block_reading_its_keys() {
    let node = Node::default();
    let old = node.agent(1);
    *node.store.state.lock() = State::Held;
    let (new, trouble) = node.troubled_agent(2);
    assert_eq!(trouble.as_deref(), Some("held"));
    assert!(node.takes(&new, &node.token(&old)));
}

#[test]
fn keys_are_rotated_without_a_store() {
    let clock = Arc::new(NodeClock::default());
    let (agent, trouble) = Keyring::open(None, &[1; 32], clock.clone());
    assert_eq!(trouble, None);
    let token = agent.current().issue(Bearer::Address(PEER), 60, NOON);
    clock.pass(HALF_A_DAY);
    assert_eq!(agent.rotate(&[2; 32]), None);
    assert!(!agent.is_rotation_due() && !agent.keys_for(Some(token.as_bytes())).lacks_key_of(token.as_bytes()));
}
