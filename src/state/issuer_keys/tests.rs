use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::logic::base::time::Wall;
use crate::os::clock::SystemClock;
use crate::ports::Clock;

/// A clock that is set by hand; waits end at once.
struct Hands(Mutex<Mono>);

impl Clock for Hands {
    fn now(&self) -> Now {
        Now { mono: *self.0.lock(), wall: Wall::from_unix_seconds(1_800_000_000) }
    }
}

impl Time for Hands {
    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(Silent(Mutex::new(0)))
    }
}

struct Silent(Mutex<u64>);

impl Notifier for Silent {
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

fn keyring(store: Option<Arc<dyn IssuerStore>>) -> (IssuerKeyring, Arc<Hands>) {
    let hands = Arc::new(Hands(Mutex::new(at(0))));
    (IssuerKeyring::open(store, hands.clone()).0, hands)
}

fn ids(keyring: &IssuerKeyring) -> Vec<String> {
    keyring.known().issuer.iter().flat_map(|issuer| issuer.keys.ids().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn keys_stay_while_the_server_is_away_and_go_when_it_lists_them_no_longer() {
    let (keyring, hands) = keyring(None);
    assert!(keyring.known().issuer.is_none());
    assert_eq!(keyring.finish(Ok(documents("one"))), KeysRead::Good(KeyNews::Changed));
    assert_eq!(keyring.finish(Ok(documents("one"))), KeysRead::Good(KeyNews::None));
    for hour in 1..=24 {
        *hands.0.lock() = at(hour * 3_600);
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
    assert_eq!(ids(&keyring), ["two"], "an answer that can't be read lists nothing");
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("two") };
    assert!(matches!(keyring.finish(Ok(none)), KeysRead::Failed { .. }));
    assert_eq!(ids(&keyring), [""; 0]);
}

#[test]
fn a_server_that_forbids_is_told_from_one_that_is_away() {
    use KubernetesFailureKind::{Forbidden, Refused, Unauthorized};
    for (kind, forbidden) in [(Forbidden, true), (Unauthorized, true), (Refused, false), (AWAY, false)] {
        let (keyring, _) = keyring(None);
        keyring.finish(Err(failure(kind)));
        assert_eq!(keyring.trouble().map(|trouble| trouble.is_forbidden), Some(forbidden), "{kind:?}");
        assert!(keyring.known().issuer.is_none());
    }
}

#[test]
fn unknown_keys_have_the_server_asked_once_in_ten_seconds() {
    let (keyring, hands) = keyring(None);
    keyring.begin();
    keyring.finish(Ok(documents("one")));
    let mut wanted = Vec::new();
    for second in [1, 9, 10, 11, 19, 20, 21] {
        *hands.0.lock() = at(second);
        let before = keyring.wanted();
        // The deadline is over, so nobody waits.
        assert!(!keyring.is_newer_than(&keyring.known(), at(second)));
        if keyring.wanted() > before {
            wanted.push(second);
        }
    }
    assert_eq!(wanted, [10, 20]);
}

/// Anybody can make up key ids.
#[test]
fn reads_for_nothing_become_rarer_and_news_makes_them_frequent_again() {
    let (keyring, hands) = keyring(None);
    let demanded = |seconds: std::ops::RangeInclusive<u64>, kid: &dyn Fn(u64) -> &'static str| {
        let mut demanded = Vec::new();
        for second in seconds {
            *hands.0.lock() = at(second);
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
    // A read that no request asked for changes nothing of that.
    keyring.finish(Ok(documents("two")));
    *hands.0.lock() = at(310);
    assert!(!keyring.is_newer_than(&keyring.known(), at(310)));
    assert_eq!(demanded(311..=330, &|_| "two"), [320]);
}

/// Ends the read that is in progress while somebody waits for it.
#[test]
fn everyone_who_meets_a_read_in_progress_waits_for_it() {
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
fn who_saw_older_keys_gets_the_newer_ones_without_a_question() {
    let (keyring, _) = keyring(None);
    keyring.finish(Ok(documents("one")));
    let seen = keyring.known();
    keyring.finish(Ok(documents("two")));
    let wanted = keyring.wanted();
    assert!(keyring.is_newer_than(&seen, at(0)));
    assert_eq!(keyring.wanted(), wanted);
}

#[derive(Default)]
struct Kept(Mutex<Option<Issuer>>);

impl IssuerStore for Kept {
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
fn what_one_agent_kept_the_next_one_begins_with() {
    let store = Arc::new(Kept::default());
    let (first, _) = keyring(Some(store.clone()));
    first.finish(Ok(documents("one")));
    first.keep().unwrap();
    let (second, _) = keyring(Some(store));
    assert_eq!(ids(&second), ["one"]);
    second.finish(Err(failure(AWAY)));
    assert_eq!(ids(&second), ["one"]);
}

#[test]
fn keys_that_the_server_lists_no_longer_do_not_come_back_from_the_store() {
    let store = Arc::new(Kept::default());
    let (first, _) = keyring(Some(store.clone()));
    first.finish(Ok(documents("one")));
    first.keep().unwrap();
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("one") };
    first.finish(Ok(none));
    let (second, _) = keyring(Some(store));
    assert!(second.known().issuer.is_none());
}

struct Spoilt;

impl IssuerStore for Spoilt {
    fn read(&self) -> Result<Option<Issuer>, String> {
        Err("spoilt".to_owned())
    }

    fn write(&self, _: &Issuer) -> Result<(), String> {
        Err("full".to_owned())
    }

    fn remove(&self) -> Result<(), String> {
        Err("read-only".to_owned())
    }
}

#[test]
fn a_store_that_fails_is_told_and_costs_nothing_else() {
    let hands = Arc::new(Hands(Mutex::new(at(0))));
    let (keyring, trouble) = IssuerKeyring::open(Some(Arc::new(Spoilt)), hands);
    assert_eq!(trouble.as_deref(), Some("spoilt"));
    keyring.finish(Ok(documents("one")));
    assert!(keyring.keep().is_err() && ids(&keyring) == ["one"]);
    let none = IssuerDocuments { key_set: r#"{"keys":[]}"#.into(), ..documents("one") };
    let KeysRead::Failed { cause, .. } = keyring.finish(Ok(none)) else { panic!() };
    assert!(cause.ends_with("those kept for the next start stay: read-only"), "{cause}");
}
