//! All orders of a few steps.

use std::sync::LazyLock;

use super::*;

/// Three callers request two keys and give up; calls start, succeed and fail in any order, with prefetches and sweeps
/// in between. No caller waits forever, no key has two calls, and no caller gets another key's session.
#[test]
fn no_order_of_steps_strands_a_waiter() {
    let mut path = [0; DEPTH];
    let mut seen = 0;
    loop {
        seen += 1;
        if is_its_own(&path) {
            walk(&path);
        }
        let Some(place) = path.iter().rposition(|step| *step + 1 < STEPS) else { break };
        path[place] += 1;
        path[place + 1..].fill(0);
    }
    assert_eq!(seen, 9_usize.pow(6));
}

/// The key that each caller requests
static KEYS: LazyLock<[AssumeRole; 3]> = LazyLock::new(|| [key("a"), key("a"), key("b")]);
static ENTITLED: LazyLock<HashSet<AssumeRole>> = LazyLock::new(|| HashSet::from([key("a")]));
const STEPS: usize = 9;
const DEPTH: usize = 6;

/// Skips paths that are equivalent to others: on an empty cache most steps do nothing, and the first two callers are
/// interchangeable.
fn is_its_own(path: &[usize]) -> bool {
    let first = |step| path.iter().position(|other| *other == step).unwrap_or(DEPTH);
    matches!(path[0], 0 | 2 | 7) && first(0) <= first(1)
}

fn walk(path: &[usize]) {
    let mut scene = Scene::new();
    for step in path {
        match *step {
            caller @ 0..=2 => scene.ask_or_leave(caller),
            3 => scene.begin(),
            4 => scene.end(End::Well),
            5 => scene.end(End::Badly),
            6 => scene.cache.sweep(&ENTITLED, at(0)),
            7 => scene.cache.prefetch(&"b".into(), KEYS[2].clone(), at(0)),
            // half of the lifetime passes: renewals become due
            _ => scene.second = 1_900,
        }
        scene.settle();
    }
    for _ in 0..4 {
        scene.begin();
        scene.end(End::Well);
        scene.settle();
    }
    assert_eq!(scene.waiting, [None; 3], "stranded after {path:?}");
    assert!(scene.cache.entries.values().all(|entry| entry.waiters == 0), "a waiter was counted twice after {path:?}");
    assert_eq!(scene.cache.counts(at(0)).in_flight, scene.flying.len(), "a call was lost after {path:?}");
}

enum End {
    Well,
    Badly,
}

struct Scene {
    cache: Cache<u32>,
    waiting: [Option<u64>; 3],
    flying: Vec<Arc<AssumeRole>>,
    second: u64,
}

impl Scene {
    fn new() -> Self {
        let rules = CacheRules { error_ttl: Some(Duration::ZERO), ..RULES };
        Self { cache: Cache::new(rules, at(0)), waiting: [None; 3], flying: Vec::new(), second: 0 }
    }

    fn ask_or_leave(&mut self, caller: usize) {
        let key = &KEYS[caller];
        if self.waiting[caller].take().is_some() {
            return self.cache.leave(key);
        }
        match self.cache.ask(key, Start::Allowed, None, at(self.second)) {
            CacheAnswer::Wait(call_number) | CacheAnswer::Refresh { call_number, .. } => {
                self.waiting[caller] = Some(call_number)
            }
            CacheAnswer::Serve(session) => assert_eq!(*session, token(key)),
            _ => {}
        }
    }

    fn begin(&mut self) {
        if let NextCall::Call(due) = self.cache.next(at(self.second)) {
            assert!(!self.flying.contains(&due.request), "two calls for one key");
            self.flying.push(due.request);
        }
    }

    fn end(&mut self, how: End) {
        let Some(key) = self.flying.pop() else { return };
        let result = match how {
            End::Well => Ok((token(&key), HOUR)),
            End::Badly => Err(failure(StsFailureKind::Unavailable)),
        };
        self.cache.finish(&key, result, at(self.second), 0);
    }

    /// Every waiter polls once.
    fn settle(&mut self) {
        for (caller, call_number) in self.waiting.iter_mut().enumerate() {
            let key = &KEYS[caller];
            if let Some(answer) = call_number.and_then(|call_number| self.cache.poll(key, call_number, at(self.second)))
            {
                if let CacheAnswer::Serve(session) = answer {
                    assert_eq!(*session, token(key));
                }
                *call_number = None;
            }
        }
    }
}

/// The session for this key.
fn token(key: &AssumeRole) -> u32 {
    u32::from(key.role.name().as_bytes()[0])
}
