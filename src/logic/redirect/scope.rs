//! What happens to packets for the metadata addresses, by incoming interface.

use std::fmt;

use super::interfaces::InterfacePattern;
use super::resolve::Interface;

/// Every interface is in exactly one class: exempt, redirected, or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceScope {
    /// Not affected; checked first
    pub exempt: Vec<Exempt>,
    /// Where requests are redirected. If empty, on every interface that isn't exempt; otherwise packets for the
    /// metadata addresses are dropped on all interfaces that are neither exempt nor named here
    pub redirected: Vec<InterfacePattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempt {
    pub pattern: InterfacePattern,
    pub reason: ExemptReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExemptReason {
    /// Packets of the node to itself
    Loopback,
    /// An interface that leads out of the node
    Uplink,
    /// `!name`
    Excepted,
}

/// The class of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceClass {
    Redirected,
    Dropped,
    Exempt(ExemptReason),
}

impl InterfaceScope {
    pub fn class(&self, name: &str) -> InterfaceClass {
        if let Some(exempt) = self.exempt.iter().find(|exempt| exempt.pattern.matches(name)) {
            return InterfaceClass::Exempt(exempt.reason);
        }
        if self.redirected.is_empty() || self.redirected.iter().any(|pattern| pattern.matches(name)) {
            return InterfaceClass::Redirected;
        }
        InterfaceClass::Dropped
    }

    pub fn uplinks(&self) -> Vec<&InterfacePattern> {
        let uplinks = self.exempt.iter().filter(|exempt| exempt.reason == ExemptReason::Uplink);
        uplinks.map(|exempt| &exempt.pattern).collect()
    }

    /// One line per class of `interfaces`, with their names.
    pub fn by_class(&self, interfaces: &[Interface]) -> Vec<String> {
        let mut classes: Vec<(InterfaceClass, &str)> =
            interfaces.iter().map(|interface| (self.class(&interface.name), interface.name.as_str())).collect();
        classes.sort_unstable();
        let alike = classes.chunk_by(|one, next| one.0 == next.0);
        let line = |alike: &[(InterfaceClass, &str)]| {
            let names: Vec<&str> = alike.iter().map(|(_, name)| *name).collect();
            alike.first().map(|(class, _)| format!("{class}: {}", names.join(", ")))
        };
        alike.filter_map(line).collect()
    }
}

impl ExemptReason {
    /// The reason as the rule's comment in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Uplink => "uplink",
            Self::Excepted => "excepted",
        }
    }

    /// The inverse of [`word`](Self::word).
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Loopback, Self::Uplink, Self::Excepted].into_iter().find(|reason| reason.word() == word)
    }
}

impl fmt::Display for InterfaceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirected => "redirected",
            Self::Dropped => "dropped",
            Self::Exempt(reason) => reason.word(),
        })
    }
}

/// `all but eth0 (uplink), lo (loopback)`, or `cali+; dropped on all others but eth0 (uplink), lo (loopback)`.
impl fmt::Display for InterfaceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exempt: Vec<String> =
            self.exempt.iter().map(|exempt| format!("{} ({})", exempt.pattern, exempt.reason.word())).collect();
        let but = if exempt.is_empty() { String::new() } else { format!(" but {}", exempt.join(", ")) };
        if self.redirected.is_empty() {
            return write!(f, "all{but}");
        }
        let redirected: Vec<String> = self.redirected.iter().map(InterfacePattern::to_string).collect();
        write!(f, "{}; dropped on all others{but}", redirected.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::redirect::resolve::InterfaceKind;

    fn scope(exempt: &[(&str, ExemptReason)], redirected: &[&str]) -> InterfaceScope {
        let pattern = |name: &str| InterfacePattern::parse(name).unwrap();
        let exempt = exempt.iter().map(|(name, reason)| Exempt { pattern: pattern(name), reason: *reason });
        InterfaceScope { exempt: exempt.collect(), redirected: redirected.iter().map(|name| pattern(name)).collect() }
    }

    fn check(scope: &InterfaceScope, name: &str, class: &str) {
        assert_eq!(scope.class(name).to_string(), class, "{name} in {scope}");
    }

    #[test]
    fn unnamed_interfaces_are_dropped_and_exempt_wins_over_named() {
        let exempt =
            [("eth0", ExemptReason::Uplink), ("lo", ExemptReason::Loopback), ("cali9", ExemptReason::Excepted)];
        let scope = scope(&exempt, &["cali+", "cni0"]);
        for (name, class) in [
            ("cali1", "redirected"),
            ("cni0", "redirected"),
            ("cni01", "dropped"),
            ("veth1a2b", "dropped"),
            ("flannel.1", "dropped"),
            ("cali9", "excepted"),
            ("eth0", "uplink"),
            ("lo", "loopback"),
        ] {
            check(&scope, name, class);
        }
    }

    #[test]
    fn without_names_every_non_exempt_interface_is_redirected() {
        check(&InterfaceScope::default(), "anything", "redirected");
        check(&scope(&[("eth0", ExemptReason::Uplink)], &[]), "eth1", "redirected");
    }

    #[test]
    fn each_interface_is_listed_under_its_class() {
        let interface = |name: &str| Interface { index: 1, name: name.to_owned(), kind: InterfaceKind::Other };
        let interfaces = ["lo", "eth0", "flannel.1", "cni0", "veth2", "cali2", "cali1"].map(interface);
        let scope = scope(&[("lo", ExemptReason::Loopback), ("eth0", ExemptReason::Uplink)], &["cali+"]);
        assert_eq!(
            scope.by_class(&interfaces),
            ["redirected: cali1, cali2", "dropped: cni0, flannel.1, veth2", "loopback: lo", "uplink: eth0"]
        );
        assert!(scope.by_class(&[]).is_empty());
    }

    #[test]
    fn exempt_reasons_round_trip_through_comments() {
        for reason in [ExemptReason::Loopback, ExemptReason::Uplink, ExemptReason::Excepted] {
            assert_eq!(ExemptReason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(ExemptReason::from_word("generation 1"), None);
    }
}
