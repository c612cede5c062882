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
mod tests {
    use super::*;

    fn name(text: &str) -> InterfacePattern {
        InterfacePattern::Name(text.to_owned())
    }

    fn prefix(text: &str) -> InterfacePattern {
        InterfacePattern::Prefix(text.to_owned())
    }

    fn check(values: &[&str], included: &[InterfacePattern], excluded: &[InterfacePattern]) {
        let expected = InterfaceRule::Named { included: included.to_vec(), excluded: excluded.to_vec() };
        assert_eq!(InterfaceRule::parse(values), Ok(expected), "{values:?}");
    }

    #[test]
    fn values_are_split_at_commas_and_repeated() {
        check(&["docker0"], &[name("docker0")], &[]);
        check(&["cali+,eni+", "cni0"], &[name("cni0"), prefix("cali"), prefix("eni")], &[]);
        check(&["!eth0"], &[], &[name("eth0")]);
        check(&["! eth0", "cali+"], &[prefix("cali")], &[name("eth0")]);
        check(&["+"], &[], &[]);
        check(&["cni0", "+,!eth+"], &[], &[prefix("eth")]);
        check(&["cni0,cni0"], &[name("cni0")], &[]);
    }

    #[test]
    fn no_interface_means_automatic() {
        for values in [&[][..], &[""], &[" , "]] {
            assert_eq!(InterfaceRule::parse(values), Ok(InterfaceRule::Automatic), "{values:?}");
        }
    }

    #[test]
    fn invalid_interface_names_are_refused() {
        for word in ["a-name-beyond-15", "e th", "eth/0", "eth:0", "eth\"0", "eth*", "a+b", "!!eth0", "schön"] {
            let refused = InterfaceRule::parse(&[word]);
            assert!(matches!(refused, Err(InterfaceRuleError::NotAName(_))), "{word}: {refused:?}");
        }
        assert_eq!(InterfaceRule::parse(&["!+"]), Err(InterfaceRuleError::ExcludesAll));
        assert!(InterfaceRule::parse(&["exactly15bytes_"]).is_ok());
    }

    #[test]
    fn an_invalid_interface_rule_names_the_word() {
        let name = InterfaceRuleError::NotAName("a b".into()).to_string();
        assert!(name.contains("`a b`") && InterfaceRuleError::ExcludesAll.to_string().contains("`!+`"));
    }

    #[test]
    fn more_names_than_a_rule_can_compare_are_refused_in_one_line() {
        let many = |count: usize| (0..count).map(|number| format!("eth{number}")).collect::<Vec<_>>();
        assert!(InterfaceRule::parse(&many(INCLUDED_MAX)).is_ok());
        let refused = InterfaceRule::parse(&many(INCLUDED_MAX + 1)).unwrap_err().to_string();
        assert!(refused.contains("61 names, at most 60") && refused.lines().count() == 1, "{refused}");
        let excluded: Vec<String> = many(100).iter().map(|name| format!("!{name}")).collect();
        assert!(InterfaceRule::parse(&excluded).is_ok(), "each exception has a rule of its own");
        let all = [many(100), vec!["+".to_owned()]].concat();
        assert!(InterfaceRule::parse(&all).is_ok(), "no name counts beside all");
    }
}
