//! `/etc/resolv.conf`, as resolv.conf(5) and glibc have it: whom to ask, how long and how often, and for which names.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What the file says, and the defaults where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one
    pub servers: Vec<NameServer>,
    /// Domains, without a dot at the end
    search: Vec<String>,
    ndots: usize,
    /// How long one server is waited for
    pub timeout: Duration,
    /// How often all of them are asked
    pub attempts: usize,
}

/// A server, and the interface by which it is reached if its address alone doesn't say: `fe80::1%eth0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    pub address: IpAddr,
    pub interface: Option<String>,
}

impl Settings {
    /// Reads the file. `hostname` gives the domain to search if the file names none.
    pub fn parse(text: &str, hostname: &str) -> Self {
        let own = hostname.split_once('.').map(|(_, domain)| domain).unwrap_or_default();
        let mut settings = Self {
            servers: Vec::new(),
            search: domains(own.split_ascii_whitespace()),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => settings.servers.extend(words.next().and_then(server)),
                Some("domain") => settings.search = domains(words.take(1)),
                Some("search") => settings.search = domains(words),
                Some("options") => words.for_each(|option| settings.option(option)),
                _ => {}
            }
        }
        settings.servers.truncate(MOST_SERVERS);
        if settings.servers.is_empty() {
            settings.servers.push(NameServer { address: Ipv4Addr::LOCALHOST.into(), interface: None });
        }
        settings
    }

    fn option(&mut self, option: &str) {
        let Some((name, Ok(number))) = option.split_once(':').map(|(name, number)| (name, number.parse::<u8>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = usize::from(number.min(MOST_DOTS)),
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, LONGEST_TIMEOUT_S).into()),
            "attempts" => self.attempts = usize::from(number.clamp(1, MOST_ATTEMPTS)),
            _ => {}
        }
    }

    /// The names to ask for, one after the other until one exists: as it is first if it has enough dots, else last.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut candidates: Vec<String> =
            self.search.iter().filter(|domain| !domain.is_empty()).map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let place = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(place, name.to_owned());
        candidates
    }
}

fn server(word: &str) -> Option<NameServer> {
    let (address, interface) = match word.split_once('%') {
        Some((address, interface)) => (address, Some(interface.to_owned())),
        None => (word, None),
    };
    Some(NameServer { address: address.parse().ok()?, interface })
}

fn domains<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words.take(MOST_DOMAINS).map(|word| word.trim_end_matches('.').to_owned()).collect()
}

/// MAXNS
const MOST_SERVERS: usize = 3;
/// What Kubernetes lets a pod have; glibc has no limit any more.
const MOST_DOMAINS: usize = 32;
/// RES_MAXNDOTS
const MOST_DOTS: u8 = 15;
/// RES_MAXRETRANS
const LONGEST_TIMEOUT_S: u8 = 30;
/// RES_MAXRETRY
const MOST_ATTEMPTS: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &str, name: &str) -> String {
        Settings::parse(text, "node.own.test").candidates(name).join(" ")
    }

    #[test]
    fn what_the_file_does_not_say_is_as_resolv_conf_5_has_it() {
        let settings = Settings::parse("", "node");
        assert_eq!(settings.servers, [NameServer { address: Ipv4Addr::LOCALHOST.into(), interface: None }]);
        assert_eq!((settings.timeout, settings.attempts), (Duration::from_secs(5), 2));
        assert_eq!(settings.candidates("a.b"), ["a.b"]);
        assert_eq!(candidates("", "api"), "api.own.test api");
        assert_eq!(candidates("", "a.b"), "a.b a.b.own.test");
    }

    #[test]
    fn servers_are_counted_and_nonsense_is_passed_over() {
        let text = "# nameserver 10.0.0.9\n; nameserver 10.0.0.8\nnameserver 10.0.0.1 # near\nnameserver\n\
                    nameserver example.test\n\tnameserver fe80::1%eth0\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n\
                    options timeout:99 attempts:0 ndots:200 rotate timeout:x use-vc ndots\nsortlist 1.2.3.4\n";
        let settings = Settings::parse(text, "");
        let servers: Vec<String> = settings.servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(servers, ["10.0.0.1", "fe80::1", "10.0.0.2"]);
        assert_eq!(settings.servers[1].interface.as_deref(), Some("eth0"));
        assert_eq!((settings.timeout, settings.attempts, settings.ndots), (Duration::from_secs(30), 1, 15));
    }

    #[test]
    fn the_last_list_of_domains_holds_and_dots_say_when_it_is_used() {
        let pod = "search ns.svc.cluster.local svc.cluster.local. cluster.local\noptions ndots:5\n";
        assert_eq!(
            candidates(pod, "sts.eu-west-1.amazonaws.com"),
            "sts.eu-west-1.amazonaws.com.ns.svc.cluster.local sts.eu-west-1.amazonaws.com.svc.cluster.local \
             sts.eu-west-1.amazonaws.com.cluster.local sts.eu-west-1.amazonaws.com"
        );
        assert_eq!(candidates(pod, "a.b.c.d.e.f"), {
            let whole = "a.b.c.d.e.f";
            format!("{whole} {whole}.ns.svc.cluster.local {whole}.svc.cluster.local {whole}.cluster.local")
        });
        assert_eq!(candidates(pod, "sts.amazonaws.com."), "sts.amazonaws.com");
        assert_eq!(candidates("search a b\ndomain c d\n", "x"), "x.c x");
        assert_eq!(candidates("domain c\nsearch a . b\n", "x"), "x.a x.b x");
        assert_eq!(candidates("search\n", "x"), "x");
        assert_eq!(candidates("search a\noptions ndots:0\n", "x"), "x x.a");
    }
}
