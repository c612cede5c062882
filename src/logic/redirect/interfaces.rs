//! The interfaces of pods: parses `--host-interface`.

use std::fmt;

/// The kernel's limit of an interface name (IFNAMSIZ without the final NUL).
const NAME_BYTES_MAX: usize = 15;
/// One rule compares the interface with all of them, by two expressions each, and the kernel takes 128 a rule
/// (`NFT_RULE_MAXEXPRS`).
pub const INCLUDED_MAX: usize = 60;

/// The parsed flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceRule {
    /// Every interface except loopback and the uplinks
    Automatic,
    /// Interfaces that match one of `included` (all, if empty) and none of `excluded`
    Named { included: Vec<InterfacePattern>, excluded: Vec<InterfacePattern> },
}

/// A name or, with a trailing `+`, a prefix of names, as in iptables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfacePattern {
    Name(String),
    Prefix(String),
}

/// Why a value of `--host-interface` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceRuleError {
    NotAName(String),
    ExcludesAll,
    TooMany(usize),
}

impl InterfaceRule {
    /// Parses the flag's values: each is a comma-separated list of patterns; a leading `!` excludes.
    pub fn parse<S: AsRef<str>>(values: &[S]) -> Result<Self, InterfaceRuleError> {
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        let mut all = false;
        for word in values.iter().flat_map(|value| value.as_ref().split(',')).map(str::trim) {
            match word.strip_prefix('!').map(str::trim_start) {
                None if word.is_empty() => {}
                None if word == "+" => all = true,
                None => InterfacePattern::parse(word)?.add_to(&mut included),
                Some("+") => return Err(InterfaceRuleError::ExcludesAll),
                Some(name) => InterfacePattern::parse(name)?.add_to(&mut excluded),
            }
        }
        if !all && included.is_empty() && excluded.is_empty() {
            return Ok(Self::Automatic);
        }
        if all {
            included.clear();
        }
        if included.len() > INCLUDED_MAX {
            return Err(InterfaceRuleError::TooMany(included.len()));
        }
        Ok(Self::Named { included, excluded })
    }
}

impl InterfacePattern {
    /// Names are printable ASCII without the characters that are special in `nft` or iptables.
    pub(super) fn parse(word: &str) -> Result<Self, InterfaceRuleError> {
        let (name, wildcard) = word.strip_suffix('+').map_or((word, false), |prefix| (prefix, true));
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:\"*\\!+".contains(&byte));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
            return Err(InterfaceRuleError::NotAName(word.to_owned()));
        }
        Ok(if wildcard { Self::Prefix(name.to_owned()) } else { Self::Name(name.to_owned()) })
    }

    /// Inserts itself into the sorted `patterns`, unless it is present.
    pub(super) fn add_to(self, patterns: &mut Vec<Self>) {
        if let Err(place) = patterns.binary_search(&self) {
            patterns.insert(place, self);
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

/// As in `--host-interface`.
impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}+"),
        }
    }
}

impl fmt::Display for InterfaceRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAName(word) => {
                write!(f, "failed to read the interface `{word}`: not a name of 1 to 15 characters")
            }
            Self::TooMany(count) => write!(
                f,
                "failed to read the interfaces: {count} names, at most {INCLUDED_MAX}; a prefix such as `cali+` counts as one"
            ),
            Self::ExcludesAll => f.write_str("failed to read the interface `!+`: it excludes every interface"),
        }
    }
}

#[cfg(test)]
mod tests;
