//! Names and their addresses: what is asked of whom, and what the answers say. [`crate::edge::names`] carries it.
//!
//! A resolver of our own, since glibc's reads nsswitch.conf, may load the host's modules of another glibc into a static
//! file, and can't be told when to stop. What it takes into account: addresses as text, `localhost`, `/etc/hosts`,
//! `/etc/resolv.conf`.

pub mod hosts;
pub mod message;
pub mod settings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::message::Answer;

/// What a name server makes of a name, both families together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Found(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    Absent,
    /// The server can't tell.
    Failed,
    /// It says nothing.
    Silent,
}

/// Judges the answers to the questions that were asked together; `None` where none came.
pub fn judge(answers: &[Option<Answer>]) -> Verdict {
    let found: Vec<IpAddr> = answers
        .iter()
        .filter_map(|answer| if let Some(Answer::Addresses(found)) = answer { Some(found) } else { None })
        .flatten()
        .copied()
        .collect();
    let any = |wanted: Option<Answer>| answers.contains(&wanted);
    if !found.is_empty() {
        Verdict::Found(found)
    } else if any(Some(Answer::NoSuchName)) {
        // of whatever family it is asked for
        Verdict::Absent
    } else if any(Some(Answer::Failed)) {
        Verdict::Failed
    } else if any(None) {
        Verdict::Silent
    } else {
        Verdict::Absent
    }
}

/// Addresses of names that are never asked for: addresses themselves, and this machine (RFC 6761, section 6.3).
pub fn known(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let local = name == "localhost" || name.ends_with(".localhost");
    local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

/// Puts IPv4 first, and leaves out what no route leads to, unless none leads anywhere: then the attempt to connect says
/// what is wrong. A small part of RFC 6724.
pub fn in_order(addresses: Vec<IpAddr>, is_routed: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let (later, mut ordered): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    ordered.extend(later);
    let routed: Vec<IpAddr> = ordered.iter().copied().filter(is_routed).collect();
    if routed.is_empty() { ordered } else { routed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn one_family_is_enough_and_doubt_is_not_absence() {
        let found = |text: &str| Some(Answer::Addresses(addresses(&[text])));
        for (answers, verdict) in [
            ([found("10.0.0.1"), found("fd00::1")], Verdict::Found(addresses(&["10.0.0.1", "fd00::1"]))),
            ([found("10.0.0.1"), Some(Answer::NoAddress)], Verdict::Found(addresses(&["10.0.0.1"]))),
            ([None, found("fd00::1")], Verdict::Found(addresses(&["fd00::1"]))),
            ([Some(Answer::Failed), found("fd00::1")], Verdict::Found(addresses(&["fd00::1"]))),
            ([Some(Answer::NoSuchName), Some(Answer::NoSuchName)], Verdict::Absent),
            ([Some(Answer::NoSuchName), None], Verdict::Absent),
            ([Some(Answer::NoAddress), Some(Answer::NoAddress)], Verdict::Absent),
            ([Some(Answer::NoAddress), None], Verdict::Silent),
            ([Some(Answer::NoAddress), Some(Answer::Failed)], Verdict::Failed),
            ([Some(Answer::Failed), None], Verdict::Failed),
            ([None, None], Verdict::Silent),
        ] {
            assert_eq!(judge(&answers), verdict, "{answers:?}");
        }
    }

    #[test]
    fn some_names_are_known_without_asking() {
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
    }

    #[test]
    fn addresses_that_lead_nowhere_are_left_out() {
        let all = || addresses(&["fd00::1", "10.0.0.2", "fd00::2", "10.0.0.1"]);
        let everything = addresses(&["10.0.0.2", "10.0.0.1", "fd00::1", "fd00::2"]);
        assert_eq!(in_order(all(), |_| true), everything);
        assert_eq!(in_order(all(), |_| false), everything);
        assert_eq!(in_order(all(), IpAddr::is_ipv4), addresses(&["10.0.0.2", "10.0.0.1"]));
        assert_eq!(in_order(all(), IpAddr::is_ipv6), addresses(&["fd00::1", "fd00::2"]));
    }
}
