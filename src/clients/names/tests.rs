use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Resolves the URL with `names` as ureq does.
fn resolve(names: &NameResolver, url: &str, config: &Config, limit: Duration) -> Result<Vec<String>, Error> {
    let timeout = NextTimeout { after: limit.into(), reason: ureq::Timeout::Resolve, ..NextTimeout::default() };
    let found = names.resolve(&url.parse().unwrap(), config, timeout)?;
    Ok(found.iter().map(ToString::to_string).collect())
}

fn any() -> Config {
    ureq::Agent::config_builder().proxy(None).build()
}

#[test]
fn addresses_and_localhost_need_no_lookup() {
    for (host, expected) in [
        ("10.96.0.1", Some(vec!["10.96.0.1"])),
        ("fd00::1", Some(vec!["fd00::1"])),
        ("localhost", Some(vec!["127.0.0.1", "::1"])),
        ("LocalHost.", Some(vec!["127.0.0.1", "::1"])),
        ("a.b.localhost", Some(vec!["127.0.0.1", "::1"])),
        ("notlocalhost", None),
        ("localhost.example", None),
        ("10.0.0", None),
    ] {
        assert_eq!(known(host), expected.map(|texts| addresses(&texts)), "{host}");
    }
    let names = NameResolver::by(|_| unreachable!("an address is no name"));
    for (url, expected) in [
        ("https://10.96.0.1/", "10.96.0.1:443"),
        ("http://[fd00::1]/", "[fd00::1]:80"),
        ("http://10.96.0.1:8080/", "10.96.0.1:8080"),
    ] {
        assert_eq!(resolve(&names, url, &any(), SHORT).unwrap(), [expected]);
    }
    assert!(names.thread.lock().is_none(), "a thread was started for nothing");
}

#[test]
fn addresses_keep_the_systems_order_and_match_the_family() {
    let names = NameResolver::by(|_| Ok(addresses(&["fd00::1", "10.0.0.1", "fd00::2"])));
    let of = |family| ureq::Agent::config_builder().proxy(None).ip_family(family).build();
    let ask = |family| resolve(&names, "https://sts.test/", &of(family), LONG).unwrap();
    assert_eq!(ask(IpFamily::Any), ["[fd00::1]:443", "10.0.0.1:443", "[fd00::2]:443"]);
    assert_eq!(ask(IpFamily::Ipv4Only), ["10.0.0.1:443"]);
    assert_eq!(ask(IpFamily::Ipv6Only), ["[fd00::1]:443", "[fd00::2]:443"]);
    let many = NameResolver::by(|_| Ok((0..100).map(|number| Ipv4Addr::new(10, 0, 0, number).into()).collect()));
    assert_eq!(resolve(&many, "https://sts.test/", &any(), LONG).unwrap().len(), MAX_ADDRESSES);
}

#[test]
fn absent_name_differs_from_a_failed_lookup() {
    let absent = NameResolver::by(|_| Err(io::Error::other(format!("{STD_PREFIX}Name or service not known"))));
    assert!(matches!(resolve(&absent, "https://sts.test/", &any(), LONG), Err(Error::HostNotFound)));
    let proxied = ureq::Agent::config_builder().proxy(ureq::Proxy::new("http://proxy.test").ok()).build();
    let proxy = resolve(&absent, "http://proxy.test/", &proxied, LONG).unwrap_err().to_string();
    assert!(proxy.contains("there is no host `proxy.test`"), "{proxy}");
    let unknown =
        NameResolver::by(|_| Err(io::Error::other(format!("{STD_PREFIX}Temporary failure in name resolution"))));
    let error = resolve(&unknown, "https://sts.test/", &any(), LONG).unwrap_err();
    assert!(
        error.to_string().contains("failed to look up `sts.test`: Temporary failure in name resolution"),
        "{error}"
    );
}

/// The error text of the C library is compared, so it must match.
#[test]
fn system_error_for_an_impossible_name_means_absent() {
    let error = system_look_up("two..dots").unwrap_err();
    assert_eq!(found("x", Err(error)), Err(Unfound::Absent));
}

static HANGING: AtomicUsize = AtomicUsize::new(0);

/// `slow.test` hangs until the test releases it; other names resolve at once.
fn hang_on_slow(host: &str) -> io::Result<Vec<IpAddr>> {
    if host == "slow.test" {
        HANGING.fetch_add(1, Ordering::SeqCst);
        while HANGING.load(Ordering::SeqCst) < 100 {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    Ok(addresses(&["10.0.0.1"]))
}

#[test]
fn hanging_name_server_delays_no_other_agent_and_no_caller_beyond_its_limit() {
    let (one, other) = (NameResolver::by(hang_on_slow), NameResolver::by(hang_on_slow));
    for _ in 0..5 {
        let error = resolve(&one, "https://slow.test/", &any(), SHORT).unwrap_err();
        assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::TimedOut), "{error}");
    }
    assert_eq!(HANGING.load(Ordering::SeqCst), 1, "one lookup hangs, the others wait");
    assert_eq!(resolve(&other, "https://fast.test/", &any(), LONG).unwrap(), ["10.0.0.1:443"]);
    HANGING.store(100, Ordering::SeqCst);
    assert_eq!(resolve(&one, "https://fast.test/", &any(), LONG).unwrap(), ["10.0.0.1:443"]);
    assert_eq!(HANGING.load(Ordering::SeqCst), 100, "queued queries for one name share one lookup");
}
