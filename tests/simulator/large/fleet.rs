//! Nodes with their caches, pods that ask as SDKs do, and an account's share of STS.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use kube2iam::for_tests::{
    AssumeRole, Bucket, Cache, CacheAnswer, CacheRules, Mono, NextCall, Rate, RenewAt, RoleArn, Start, StsFailure,
    StsFailureKind,
};

use super::{Flags, NODES, PODS_PER_NODE, Tally, index};
use crate::random::Random;

struct Node {
    /// What is held is the moment at which it ends.
    cache: Cache<u64>,
    wakes_at: u64,
    waiting: Vec<Waiting>,
    /// By pod: when what it has ends
    pods: Vec<u64>,
    refused: Vec<bool>,
    /// By session: whether it has been fetched
    fetched: Vec<bool>,
}

struct Waiting {
    session: usize,
    call_number: u64,
    pod: usize,
    /// What it takes if nothing better comes
    in_hand: Option<u64>,
}

/// How a call to STS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CallEnd {
    Throttled,
    Well,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks { pod: usize },
    GivesUp { pod: usize },
    CallEnds { session: usize, end: CallEnd },
    Wakes,
    Prefetches,
}

pub struct Fleet {
    flags: Flags,
    keys: Vec<AssumeRole>,
    nodes: Vec<Node>,
    events: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    now: u64,
    born: u64,
    random: Random,
    quota: Option<(Rate, Bucket)>,
    missing: usize,
    tally: Tally,
}

impl Fleet {
    pub fn new(nodes: u64, sessions: u64, flags: Flags) -> Self {
        let start = Mono::from_micros(0);
        let rules = CacheRules {
            budget: Rate { burst: (flags.calls_per_second * 2.0).max(1.0), refill: flags.calls_per_second },
            renew: if flags.asked_s == 3_600 {
                RenewAt::Half
            } else {
                RenewAt::Age(Duration::from_secs(flags.asked_s / 2))
            },
            error_ttl: flags.error_ttl_s.map(Duration::from_secs),
        };
        let node = |_| Node {
            cache: Cache::new(rules, start),
            wakes_at: u64::MAX,
            waiting: Vec::new(),
            pods: vec![0; index(PODS_PER_NODE)],
            refused: vec![false; index(PODS_PER_NODE)],
            fetched: vec![false; index(sessions)],
        };
        let share = |quota: u64| {
            let refill = quota as f64 * nodes as f64 / NODES as f64;
            let rate = Rate { burst: refill, refill };
            (rate, Bucket::full(rate, start))
        };
        Self {
            flags,
            keys: (0..sessions).map(|number| key(number, flags.asked_s)).collect(),
            nodes: (0..nodes).map(node).collect(),
            events: BinaryHeap::new(),
            now: 0,
            born: 0,
            random: Random::new(7),
            quota: flags.quota.map(share),
            missing: index(nodes * sessions),
            tally: Tally::default(),
        }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Everything has run for long: pods came at any time.
    pub fn begin_warm(&mut self) {
        self.each_pod(|fleet, node, pod| {
            let at = fleet.random.roll(1_800 * SECOND);
            fleet.at(at, node, Event::Asks { pod });
        });
    }

    /// Agents start; pods have credentials of some age and ask when these get old.
    pub fn begin_with_pods_that_have_sessions(&mut self) {
        self.each_node(|fleet, node| {
            let at = fleet.random.roll(SECOND);
            fleet.at(at, node, Event::Prefetches);
        });
        self.each_pod(|fleet, node, pod| {
            let left = ADVISORY + fleet.random.roll(1_800 * SECOND);
            fleet.nodes[node].pods[pod] = left;
            fleet.at(left - ADVISORY, node, Event::Asks { pod });
        });
    }

    /// Agents and pods start, the pods within half a minute.
    pub fn begin_cold(&mut self) {
        self.each_node(|fleet, node| {
            let at = fleet.random.roll(SECOND);
            fleet.at(at, node, Event::Prefetches);
        });
        self.each_pod(|fleet, node, pod| {
            fleet.nodes[node].pods[pod] = u64::MAX;
            let at = SECOND + fleet.random.roll(30 * SECOND);
            fleet.at(at, node, Event::Asks { pod });
        });
    }

    fn each_node(&mut self, mut each: impl FnMut(&mut Self, usize)) {
        (0..self.nodes.len()).for_each(|node| each(self, node));
    }

    fn each_pod(&mut self, mut each: impl FnMut(&mut Self, usize, usize)) {
        self.each_node(|fleet, node| (0..index(PODS_PER_NODE)).for_each(|pod| each(fleet, node, pod)));
    }

    pub fn run(&mut self, until_s: u64) {
        self.tally.per_second = vec![0; index(until_s) + 1];
        while let Some(Reverse((at, _, node, event))) = self.events.pop() {
            if at > until_s * SECOND {
                return;
            }
            self.now = at;
            self.happen(node, event);
            self.work(node);
        }
    }

    fn happen(&mut self, node: usize, event: Event) {
        match event {
            Event::Asks { pod } => self.ask(node, pod),
            Event::GivesUp { pod } => self.give_up(node, pod),
            Event::CallEnds { session, end } => self.end_call(node, session, end),
            Event::Wakes => self.nodes[node].wakes_at = u64::MAX,
            Event::Prefetches if self.flags.prefetch => {
                let now = self.mono();
                let keys = self.keys.clone();
                for (pod, key) in keys.into_iter().enumerate() {
                    self.nodes[node].cache.prefetch(&format!("pod-{pod}").into(), key, now);
                }
            }
            Event::Prefetches => {}
        }
    }

    fn session_of(&self, pod: usize) -> usize {
        pod % self.keys.len()
    }

    fn ask(&mut self, node: usize, pod: usize) {
        let (now, session) = (self.mono(), self.session_of(pod));
        match self.nodes[node].cache.ask(&self.keys[session], Start::Allowed, None, now) {
            CacheAnswer::Serve(ends) => self.has(node, pod, *ends),
            CacheAnswer::Refresh { held, call_number, until } => {
                self.nodes[node].waiting.push(Waiting { session, call_number, pod, in_hand: Some(*held) });
                self.at(until.micros(), node, Event::GivesUp { pod });
            }
            CacheAnswer::Wait(call_number) => {
                self.nodes[node].waiting.push(Waiting { session, call_number, pod, in_hand: None });
                self.at(self.now + 5 * SECOND, node, Event::GivesUp { pod });
            }
            CacheAnswer::Refuse(_) | CacheAnswer::Full | CacheAnswer::Unstarted(_) => self.refused(node, pod),
        }
    }

    /// A pod has credentials; its SDK asks again a quarter of an hour before they end.
    fn has(&mut self, node: usize, pod: usize, ends: u64) {
        let had = std::mem::replace(&mut self.nodes[node].pods[pod], ends);
        self.tally.expired += u64::from(had < self.now && had != 0);
        let again = ends.saturating_sub(ADVISORY).max(self.now + SECOND) + self.random.roll(60 * SECOND);
        self.at(again, node, Event::Asks { pod });
    }

    /// It heard 503 and tries again after a second or two.
    fn refused(&mut self, node: usize, pod: usize) {
        let heard = std::mem::replace(&mut self.nodes[node].refused[pod], true);
        self.tally.pods_refused += u64::from(!heard);
        let again = self.now + SECOND + self.random.roll(SECOND);
        self.at(again, node, Event::Asks { pod });
    }

    fn give_up(&mut self, node: usize, pod: usize) {
        let Some(at) = self.nodes[node].waiting.iter().position(|waiting| waiting.pod == pod) else { return };
        let waiting = self.nodes[node].waiting.swap_remove(at);
        self.nodes[node].cache.leave(&self.keys[waiting.session]);
        self.goes_without(node, &waiting);
    }

    fn goes_without(&mut self, node: usize, waiting: &Waiting) {
        match waiting.in_hand {
            Some(ends) => self.has(node, waiting.pod, ends),
            None => self.refused(node, waiting.pod),
        }
    }

    fn end_call(&mut self, node: usize, session: usize, end: CallEnd) {
        let now = self.mono();
        let life = Duration::from_secs(self.flags.asked_s);
        let result = match end {
            CallEnd::Well => Ok((now.after(life).micros(), life)),
            CallEnd::Throttled => Err(throttled()),
        };
        let random = if self.flags.jitter { self.random.number() } else { 0 };
        self.nodes[node].cache.finish(&self.keys[session], result, now, random);
        if end == CallEnd::Well && !std::mem::replace(&mut self.nodes[node].fetched[session], true) {
            self.missing -= 1;
            if self.missing == 0 {
                self.tally.complete_s = Some(self.now / SECOND);
            }
        }
        let waiting = std::mem::take(&mut self.nodes[node].waiting);
        let (here, elsewhere) = waiting.into_iter().partition(|waiting| waiting.session == session);
        self.nodes[node].waiting = elsewhere;
        let here: Vec<Waiting> = here;
        for waiting in here {
            match self.nodes[node].cache.poll(&self.keys[session], waiting.call_number, now) {
                Some(CacheAnswer::Serve(ends)) => self.has(node, waiting.pod, *ends),
                Some(_) => self.goes_without(node, &waiting),
                None => self.nodes[node].waiting.push(waiting),
            }
        }
    }

    /// Makes every call that may be made.
    fn work(&mut self, node: usize) {
        loop {
            let now = self.mono();
            match self.nodes[node].cache.next(now) {
                NextCall::Call(due) => self.call(node, &due.request),
                NextCall::Rest(until) => {
                    let until = until.micros();
                    if until < self.nodes[node].wakes_at {
                        self.nodes[node].wakes_at = until;
                        self.at(until, node, Event::Wakes);
                    }
                    return;
                }
            }
        }
    }

    fn call(&mut self, node: usize, request: &Arc<AssumeRole>) {
        let second = index(self.now / SECOND);
        self.tally.per_second[second] += 1;
        let now = self.mono();
        let is_well = self.quota.as_mut().is_none_or(|(rate, bucket)| bucket.take(*rate, now));
        self.tally.throttled += u64::from(!is_well);
        let session = index(request.session_name.parse().unwrap());
        let (end, took) = if is_well { (CallEnd::Well, 60_000) } else { (CallEnd::Throttled, 30_000) };
        let took = took + self.random.roll(60_000);
        self.at(self.now + took, node, Event::CallEnds { session, end });
    }

    fn mono(&self) -> Mono {
        Mono::from_micros(self.now)
    }

    fn at(&mut self, at: u64, node: usize, event: Event) {
        self.born += 1;
        self.events.push(Reverse((at, self.born, node, event)));
    }
}

/// The session's number is its name.
fn key(number: u64, asked_s: u64) -> AssumeRole {
    AssumeRole {
        role: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/r{number}")).unwrap(),
        session_name: number.to_string(),
        external_id: None,
        duration_s: asked_s.try_into().unwrap(),
        policy: None,
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tags: Vec::new(),
        subject: None,
    }
}

fn throttled() -> StsFailure {
    StsFailure {
        kind: StsFailureKind::Throttled,
        code: "Throttling".to_owned(),
        message: "Rate exceeded".to_owned(),
        request_id: None,
    }
}

const SECOND: u64 = 1_000_000;
/// botocore refreshes that long before the end.
const ADVISORY: u64 = 15 * 60 * SECOND;
