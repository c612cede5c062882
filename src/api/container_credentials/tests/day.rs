//! A long day of one node: keys rotate, the API server is away, pods are replaced, tokens are replayed. A seed decides
//! what happens; a plain model says what each request must come to.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};

/// SplitMix64: the same day for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % limit as u64).unwrap()
    }
}

/// A token and what it was made of.
struct Issued {
    token: String,
    uid: String,
    key: usize,
    is_over: bool,
}

/// What is true, beside the service that has to find out.
struct Day {
    service: Service,
    chance: Chance,
    /// The last one signs.
    keys: Vec<EcKey>,
    /// What the API server lists now, and what the agent read last
    listed: BTreeSet<usize>,
    read: BTreeSet<usize>,
    /// By slot on the node: uid and address
    pods: BTreeMap<usize, (String, String)>,
    born: usize,
    issued: Vec<Issued>,
}

impl Day {
    fn new(seed: u64) -> Self {
        let service = guarded(vec![], proof(None));
        let keys = vec![EcKey::new("key-0")];
        let listed = BTreeSet::from([0]);
        let (chance, read) = (Chance(seed), BTreeSet::new());
        Self { service, chance, keys, listed, read, pods: BTreeMap::new(), born: 0, issued: Vec::new() }
    }

    fn step(&mut self) {
        match self.chance.below(12) {
            0 => self.rotate(),
            1 => self.read_keys(),
            2 | 3 => self.replace_pod(),
            4..=6 => self.issue(),
            _ => self.replay(),
        }
    }

    /// A new key signs; the old ones are listed for a while.
    fn rotate(&mut self) {
        if self.chance.below(2) == 0 {
            self.keys.push(EcKey::new(&format!("key-{}", self.keys.len())));
            self.listed.insert(self.keys.len() - 1);
        } else {
            self.listed.retain(|key| *key + 1 == self.keys.len());
        }
    }

    fn read_keys(&mut self) {
        let keyring = &self.service.proof.as_ref().unwrap().keys;
        keyring.begin();
        if self.chance.below(2) == 0 {
            let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
            keyring.finish(Err(KubernetesFailure { kind, cause: "away".into() }));
            return;
        }
        let keys: Vec<Value> = self.listed.iter().map(|key| self.keys[*key].json()).collect();
        let configuration = json!({ "issuer": ISSUER }).to_string();
        keyring.finish(Ok(IssuerDocuments { configuration, key_set: json!({ "keys": keys }).to_string() }));
        self.read.clone_from(&self.listed);
    }

    /// Another pod of the same name, with the address of the old one or of a neighbour that is gone.
    fn replace_pod(&mut self) {
        let slot = self.chance.below(4);
        if let Some((uid, address)) = self.pods.remove(&slot) {
            let gone = Event::Delete(Object::Pod(bare(&uid, &address)));
            self.service.world.apply(Resource::Pods, gone);
        }
        if self.chance.below(4) == 0 {
            return;
        }
        let taken: BTreeSet<&String> = self.pods.values().map(|(_, address)| address).collect();
        let free: Vec<String> =
            (1..=4).map(|last| format!("10.0.0.{last}")).filter(|address| !taken.contains(address)).collect();
        let address = free[self.chance.below(free.len())].clone();
        self.born += 1;
        let uid = format!("u{}", self.born);
        apply(&self.service.world, Object::Pod(bare(&uid, &address)));
        self.pods.insert(slot, (uid, address));
    }

    fn issue(&mut self) {
        let uids: Vec<String> = self.pods.values().map(|(uid, _)| uid.clone()).collect();
        if uids.is_empty() {
            return;
        }
        let uid = uids[self.chance.below(uids.len())].clone();
        let is_over = self.chance.below(8) == 0;
        let mut said = claims(&uid);
        if is_over {
            said["exp"] = 1_000.into();
        }
        let key = self.keys.len() - 1;
        self.issued.push(Issued { token: self.keys[key].sign(&said), uid, key, is_over });
    }

    /// Any token that ever was, from anywhere.
    fn replay(&mut self) {
        if self.issued.is_empty() {
            return;
        }
        let shown = &self.issued[self.chance.below(self.issued.len())];
        let from = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "127.0.0.1"][self.chance.below(5)];
        let answer = ask(&self.service, Some(&shown.token), from);
        let pod = self.pods.values().find(|(uid, _)| *uid == shown.uid);
        let holder = self.pods.values().find(|(_, address)| address == from);
        let expected = match pod {
            _ if self.read.is_empty() => (503, "keys_unknown"),
            _ if !self.read.contains(&shown.key) => (401, "token_untrusted"),
            _ if shown.is_over => (401, "token_expired"),
            None => (403, "token_pod_mismatch"),
            Some((uid, _)) if holder.is_some_and(|(other, _)| other != uid) => (403, "token_other_pod"),
            // A pod without a role: what its token proves is believed.
            Some(_) => (404, "no_role"),
        };
        assert_eq!(code(&answer), expected, "{} from {from}", shown.uid);
    }
}

fn bare(uid: &str, address: &str) -> Pod {
    Pod { role: None, ..pod(uid, address) }
}

#[test]
fn whatever_happens_a_token_is_worth_what_its_pod_and_its_key_are_worth() {
    for seed in 0..12 {
        let mut day = Day::new(seed);
        (0..400).for_each(|_| day.step());
        let good = day.issued.iter().filter(|issued| day.read.contains(&issued.key)).count();
        assert!(day.born > 20 && day.issued.len() > 50 && good > 0, "an empty day proves nothing: seed {seed}");
    }
}
