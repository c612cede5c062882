//! Answers of name servers, and the files that say whom to ask: any bytes are read to an end, and nothing is believed
//! that answers another question.

use std::net::IpAddr;

use kube2iam::logic::dns::hosts;
use kube2iam::logic::dns::message::{Answer, Family, Name, Question};
use kube2iam::logic::dns::settings::Settings;

/// A message from a name server, a `resolv.conf` or a `hosts`.
pub(crate) fn check(bytes: &[u8]) {
    for family in [Family::V4, Family::V6] {
        answer(bytes, family);
        // whatever comes behind a head and a question that fit
        let question = question(family);
        let mut fitting = question.message();
        fitting[2] |= 0x80;
        fitting[7] = bytes.first().map_or(0, |byte| byte % 8);
        fitting.extend(bytes);
        answer(&fitting, family);
        assert!(question.read(&fitting).is_some(), "an answer is passed over");
    }
    let text = String::from_utf8_lossy(bytes);
    settings(&text);
    name(&text);
    for word in text.split_ascii_whitespace().chain(["api.test"]) {
        let lines = text.lines().filter(|line| line.to_ascii_lowercase().contains(&word.to_ascii_lowercase()));
        let word_lines = if word.ends_with('.') { usize::MAX } else { lines.count() };
        assert!(hosts::addresses(&text, word).len() <= word_lines, "{word:?} has addresses of nobody's");
    }
}

fn question(family: Family) -> Question {
    Question { id: 0x1d1d, name: Name::parse(ASKED).expect("a plain name"), family }
}

/// Only with the id, as a response, and with a question that is ours or missing is there an answer at all.
fn answer(message: &[u8], family: Family) {
    let question = question(family);
    let Some(answer) = question.read(message) else { return };
    assert_eq!(message[..2], question.id.to_be_bytes());
    assert_eq!(message[2] & 0xf8, 0x80);
    if message[4..6] != [0, 0] {
        assert_eq!(message[12..12 + ASKED.len() + 6].to_ascii_lowercase(), question.message()[12..]);
    } else {
        assert_eq!(answer, Answer::Failed);
    }
    if let Answer::Addresses(addresses) = answer {
        assert!((1..=16).contains(&addresses.len()));
        assert!(addresses.iter().all(|address| address.is_ipv6() == (family == Family::V6)), "{addresses:?}");
        // each address stands somewhere in the message
        assert!(addresses.iter().all(|address| stands_in(message, address)), "{addresses:?}");
    }
}

fn stands_in(message: &[u8], address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => message.windows(4).any(|window| window == address.octets()),
        IpAddr::V6(address) => message.windows(16).any(|window| window == address.octets()),
    }
}

/// There is always somebody to ask, within bounds, and the name as it is among what is asked for.
fn settings(text: &str) {
    let settings = Settings::parse(text, "node.own.test");
    assert!((1..=3).contains(&settings.servers.len()) && (1..=5).contains(&settings.attempts));
    assert!((1..=30).contains(&settings.timeout.as_secs()));
    for name in ["api", "a.b.c.d.e.f.g"] {
        let candidates = settings.candidates(name);
        assert!((1..=33).contains(&candidates.len()));
        assert_eq!(candidates.iter().filter(|candidate| *candidate == name).count(), 1, "{candidates:?}");
        assert!(candidates.iter().all(|candidate| candidate.starts_with(name)));
        assert_eq!(settings.candidates(&format!("{name}.")), [name]);
    }
}

/// A name is taken if each of its labels fits, and goes out as it is but for capitals.
fn name(text: &str) {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let fits = labels.split('.').all(|label| (1..=63).contains(&label.len())) && labels.len() <= 253;
    let name = Name::parse(text);
    assert_eq!(name.is_some(), fits, "{text:?}");
    let Some(name) = name else { return };
    let sent = Question { id: 0, name, family: Family::V4 }.message();
    let lowered = labels.to_ascii_lowercase();
    assert!(lowered.split('.').all(|label| sent.windows(label.len()).any(|window| window == label.as_bytes())));
}

const ASKED: &str = "sts.eu-west-1.test";
