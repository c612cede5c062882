use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::logic::base::time::Wall;
use crate::os::clock::SystemClock;
use crate::ports::Clock;

/// A clock set by the test; waits end at once.
struct SetClock(Mutex<Mono>);

impl Clock for SetClock {
    fn now(&self) -> Now {
        Now { mono: *self.0.lock(), wall: Wall::from_unix_seconds(1_800_000_000) }
    }
}

impl Time for SetClock {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(SilentNotifier(Mutex::new(0)))
    }
}

struct SilentNotifier(Mutex<u64>);

impl Notifier for SilentNotifier {
    fn generation(&self) -> u64 {
        *self.0.lock()
    }

    fn notify(&self) {
        *self.0.lock() += 1;
    }

    fn wait(&self, _: u64, _: Mono) {}
}

fn at(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1_000)
}

fn documents(kid: &str) -> IssuerDocuments {
    let key = json!({ "kty": "RSA", "kid": kid, "n": "_w", "e": "AQAB" });
    IssuerDocuments {
        configuration: json!({ "issuer": "https://cluster" }).to_string(),
        key_set: json!({ "keys": [key] }).to_string(),
    }
}

fn failure(kind: KubernetesFailureKind) -> KubernetesFailure {
    KubernetesFailure { kind, cause: format!("{kind:?}") }
}

const AWAY: KubernetesFailureKind = KubernetesFailureKind::Unavailable { retry_after_s: None };

fn keyring(store: Option<Arc<dyn IssuerStore>>) -> (IssuerKeyring, Arc<SetClock>) {
    let clock = Arc::new(SetClock(Mutex::new(at(0))));
    (IssuerKeyring::open(store, clock.clone()).0, clock)
}

fn ids(keyring: &IssuerKeyring) -> Vec<String> {
    keyring.known().issuer.iter().flat_map(|issuer| issuer.keys.ids().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn keys_stay_while_the_server_is_unavailable_and_go_when_no_longer_listed() {
    let (keyring, clock) = keyring(None);
    assert!(keyring.known().issuer.is_none());
    assert_eq!(keyring.finish(Ok(documents("one"))), KeysRead::Good(KeyNews::Changed));
    assert_eq!(keyring.finish(Ok(documents("one"))), KeysRead::Good(KeyNews::None));
    for hour in 1..=24 {
        *clock.0.lock() = at(hour * 3_600);
        let is_news = hour == 1;
        let failed = KeysRead::Failed { cause: format!("{AWAY:?}"), is_forbidden: false, is_news };
        assert_eq!(keyring.finish(Err(failure(AWAY))), failed);
        assert_eq!(ids(&keyring), ["one"], "{hour}");
    }
    assert_eq!(keyring.trouble().map(|trouble| trouble.since), Some(at(3_600)));
    assert_eq!(keyring.finish(Ok(documents("one"))), KeysRead::Good(KeyNews::Recovered));
    assert_eq!(keyring.trouble(), None);
    assert_eq!(keyring.finish(Ok(documents("two"))), KeysRead::Good(KeyNews::Changed));
    assert_eq!(ids(&keyring), ["two"]);
    let garbage = IssuerDocuments { key_set: "<html>".into(), ..documents("two") };
    assert!(matches!(keyring.finish(Ok(garbage)), KeysRead::Failed { .. }));
    assert_eq!(ids(&keyring), ["two"], "an unreadable response removes no key");
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("two") };
    assert!(matches!(keyring.finish(Ok(none)), KeysRead::Failed { .. }));
    assert_eq!(ids(&keyring), [""; 0]);
}

#[test]
fn forbidden_differs_from_unavailable() {
    use KubernetesFailureKind::{Forbidden, Refused, Unauthorized};
    for (kind, forbidden) in [(Forbidden, true), (Unauthorized, true), (Refused, false), (AWAY, false)] {
        let (keyring, _) = keyring(None);
        keyring.finish(Err(failure(kind)));
        assert_eq!(keyring.trouble().map(|trouble| trouble.is_forbidden), Some(forbidden), "{kind:?}");
        assert!(keyring.known().issuer.is_none());
    }
}

#[test]
fn unknown_keys_trigger_a_read_every_ten_seconds_at_most() {
    let (keyring, clock) = keyring(None);
    keyring.begin();
    keyring.finish(Ok(documents("one")));
    let mut wanted = Vec::new();
    for second in [1, 9, 10, 11, 19, 20, 21] {
        *clock.0.lock() = at(second);
        let before = keyring.wanted();
        // The deadline has passed, so the call doesn't wait.
        assert!(!keyring.is_newer_than(&keyring.known(), at(second)));
        if keyring.wanted() > before {
            wanted.push(second);
        }
    }
    assert_eq!(wanted, [10, 20]);
}

/// Any pod can make up key ids.
#[test]
fn reads_without_news_become_rarer_until_news_arrives() {
    let (keyring, clock) = keyring(None);
    let demanded = |seconds: std::ops::RangeInclusive<u64>, kid: &dyn Fn(u64) -> &'static str| {
        let mut demanded = Vec::new();
        for second in seconds {
            *clock.0.lock() = at(second);
            let before = keyring.wanted();
            keyring.is_newer_than(&keyring.known(), at(second));
            if keyring.wanted() > before {
                demanded.push(second);
                keyring.begin();
                keyring.finish(Ok(documents(kid(second))));
            }
        }
        demanded
    };
    keyring.begin();
    keyring.finish(Ok(documents("one")));
    assert_eq!(demanded(1..=200, &|_| "one"), [10, 30, 70, 130, 190]);
    assert_eq!(demanded(201..=280, &|_| "two"), [250, 260, 280]);
    // A scheduled read doesn't change the pause.
    keyring.finish(Ok(documents("two")));
    *clock.0.lock() = at(310);
    assert!(!keyring.is_newer_than(&keyring.known(), at(310)));
    assert_eq!(demanded(311..=330, &|_| "two"), [320]);
}

/// Ends a read in progress while two threads wait for it.
#[test]
fn requests_during_a_read_wait_for_it() {
    let keyring = Arc::new(IssuerKeyring::open(None, Arc::new(SystemClock::new())).0);
    keyring.begin();
    keyring.finish(Ok(documents("one")));
    keyring.begin();
    let seen = keyring.known();
    let deadline = SystemClock::new().now().mono.after(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let waiting = [(); 2].map(|()| scope.spawn(|| keyring.is_newer_than(&seen, deadline)));
        keyring.finish(Ok(documents("two")));
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap()));
    });
}

#[test]
fn newer_keys_are_used_without_another_read() {
    let (keyring, _) = keyring(None);
    keyring.finish(Ok(documents("one")));
    let seen = keyring.known();
    keyring.finish(Ok(documents("two")));
    let wanted = keyring.wanted();
    assert!(keyring.is_newer_than(&seen, at(0)));
    assert_eq!(keyring.wanted(), wanted);
}

#[derive(Default)]
struct MemoryIssuerStore(Mutex<Option<Issuer>>);

impl IssuerStore for MemoryIssuerStore {
    fn read(&self) -> Result<Option<Issuer>, String> {
        Ok(self.0.lock().clone())
    }

    fn write(&self, issuer: &Issuer) -> Result<(), String> {
        *self.0.lock() = Some(issuer.clone());
        Ok(())
    }

    fn remove(&self) -> Result<(), String> {
        *self.0.lock() = None;
        Ok(())
    }
}

#[test]
fn stored_issuer_is_used_by_the_next_agent() {
    let store = Arc::new(MemoryIssuerStore::default());
    let (first, _) = keyring(Some(store.clone()));
    first.finish(Ok(documents("one")));
    first.keep().unwrap();
    let (second, _) = keyring(Some(store));
    assert_eq!(ids(&second), ["one"]);
    second.finish(Err(failure(AWAY)));
    assert_eq!(ids(&second), ["one"]);
}

#[test]
fn keys_no_longer_listed_are_removed_from_the_store() {
    let store = Arc::new(MemoryIssuerStore::default());
    let (first, _) = keyring(Some(store.clone()));
    first.finish(Ok(documents("one")));
    first.keep().unwrap();
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("one") };
    first.finish(Ok(none));
    let (second, _) = keyring(Some(store));
    assert!(second.known().issuer.is_none());
}

struct BrokenIssuerStore;

impl IssuerStore for BrokenIssuerStore {
    fn read(&self) -> Result<Option<Issuer>, String> {
        Err("broken".to_owned())
    }

    fn write(&self, _: &Issuer) -> Result<(), String> {
        Err("full".to_owned())
    }

    fn remove(&self) -> Result<(), String> {
        Err("read-only".to_owned())
    }
}

#[test]
fn failing_store_is_reported_and_has_no_other_effect() {
    let clock = Arc::new(SetClock(Mutex::new(at(0))));
    let (keyring, trouble) = IssuerKeyring::open(Some(Arc::new(BrokenIssuerStore)), clock);
    assert_eq!(trouble.as_deref(), Some("broken"));
    keyring.finish(Ok(documents("one")));
    assert!(keyring.keep().is_err() && ids(&keyring) == ["one"]);
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("one") };
    let KeysRead::Failed { cause, .. } = keyring.finish(Ok(none)) else { panic!() };
    assert!(cause.ends_with("those kept for the next start stay: read-only"), "{cause}");
}
