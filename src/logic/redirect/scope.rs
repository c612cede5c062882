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
mod tests;
