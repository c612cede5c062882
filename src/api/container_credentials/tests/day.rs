//! A randomised day of one node: keys rotate, the API server is unavailable, pods are replaced, tokens are replayed. A
//! seed selects the events; a simple model gives the expected response to each request.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::logic::base::tests::SeededRandom;
use crate::logic::cluster::kubernetes::{KubernetesFailure, KubernetesFailureKind};

/// A token and its properties.
struct Issued {
    token: String,
    uid: String,
    key: usize,
    is_over: bool,
}

/// The true state of the node, and the service under test.
struct Day {
    service: Service,
    random: SeededRandom,
    /// The last one is used to sign.
    keys: Vec<EcKey>,
    /// Keys listed by the API server now, and keys last read by the agent
    listed: BTreeSet<usize>,
    read: BTreeSet<usize>,
    /// Uid and address, by slot on the node
    pods: BTreeMap<usize, (String, String)>,
    born: usize,
    issued: Vec<Issued>,
}

impl Day {
    fn new(seed: u64) -> Self {
        let service = service_with_proof(vec![], proof(None));
        let keys = vec![EcKey::new("key-0")];
        let listed = BTreeSet::from([0]);
        let (random, read) = (SeededRandom(seed), BTreeSet::new());
        Self { service, random, keys, listed, read, pods: BTreeMap::new(), born: 0, issued: Vec::new() }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 => self.rotate(),
            1 => self.read_keys(),
            2 | 3 => self.replace_pod(),
            4..=6 => self.issue(),
            _ => self.replay(),
        }
    }

    /// Adds a new signing key, or removes old ones from the list.
    fn rotate(&mut self) {
        if self.random.below(2) == 0 {
            self.keys.push(EcKey::new(&format!("key-{}", self.keys.len())));
            self.listed.insert(self.keys.len() - 1);
        } else {
            self.listed.retain(|key| *key + 1 == self.keys.len());
        }
    }

    fn read_keys(&mut self) {
        let keyring = &self.service.proof.as_ref().unwrap().keys;
        keyring.begin();
        if self.random.below(2) == 0 {
            let kind = KubernetesFailureKind::Unavailable { retry_after_s: None };
            keyring.finish(Err(KubernetesFailure { kind, cause: "away".into() }));
            return;
        }
        let keys: Vec<Value> = self.listed.iter().map(|key| self.keys[*key].json()).collect();
        let configuration = json!({ "issuer": ISSUER }).to_string();
        keyring.finish(Ok(IssuerDocuments { configuration, key_set: json!({ "keys": keys }).to_string() }));
        self.read.clone_from(&self.listed);
    }

    /// Replaces a pod; the new one gets the address of the old one or of another deleted pod.
    fn replace_pod(&mut self) {
        let slot = self.random.below(4);
        if let Some((uid, address)) = self.pods.remove(&slot) {
            let gone = Event::Delete(Object::Pod(bare(&uid, &address)));
            self.service.world.apply(Resource::Pods, gone);
        }
        if self.random.below(4) == 0 {
            return;
        }
        let taken: BTreeSet<&String> = self.pods.values().map(|(_, address)| address).collect();
        let free: Vec<String> =
            (1..=4).map(|last| format!("10.0.0.{last}")).filter(|address| !taken.contains(address)).collect();
        let address = free[self.random.below(free.len())].clone();
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
        let uid = uids[self.random.below(uids.len())].clone();
        let is_over = self.random.below(8) == 0;
        let mut claims = claims(&uid);
        if is_over {
            claims["exp"] = 1_000.into();
        }
        let key = self.keys.len() - 1;
        self.issued.push(Issued { token: self.keys[key].sign(&claims), uid, key, is_over });
    }

    /// Sends any token issued so far from any address.
    fn replay(&mut self) {
        if self.issued.is_empty() {
            return;
        }
        let shown = &self.issued[self.random.below(self.issued.len())];
        let from = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "127.0.0.1"][self.random.below(5)];
        let answer = ask(&self.service, Some(&shown.token), from);
        let pod = self.pods.values().find(|(uid, _)| *uid == shown.uid);
        let holder = self.pods.values().find(|(_, address)| address == from);
        let expected = match pod {
            _ if self.read.is_empty() => (503, "keys_unknown"),
            _ if !self.read.contains(&shown.key) => (401, "token_untrusted"),
            _ if shown.is_over => (401, "token_expired"),
            None => (403, "token_pod_mismatch"),
            Some((uid, _)) if holder.is_some_and(|(other, _)| other != uid) => (403, "token_other_pod"),
            // The pod has no role; its token is accepted.
            Some(_) => (404, "no_role"),
        };
        assert_eq!(code(&answer), expected, "{} from {from}", shown.uid);
    }
}

fn bare(uid: &str, address: &str) -> Pod {
    Pod { role: None, ..pod(uid, address) }
}

#[test]
fn token_is_valid_exactly_while_its_pod_and_key_are() {
    for seed in 0..12 {
        let mut day = Day::new(seed);
        (0..400).for_each(|_| day.step());
        let good = day.issued.iter().filter(|issued| day.read.contains(&issued.key)).count();
        assert!(day.born > 20 && day.issued.len() > 50 && good > 0, "too few events: seed {seed}");
    }
}
