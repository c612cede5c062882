//! Role ARNs: `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

/// A well-formed role ARN. Written as it was given: kube2iam compares ARNs letter by letter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn(Arc<str>);

impl RoleArn {
    /// Takes `text` if it has the shape of a role ARN; only `arn` may stand in any case.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let shape = || ArnError { found: text.chars().take(SHOWN).collect() };
        if text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(shape());
        }
        let [arn, partition, "iam", "", account, resource] = fields(text) else { return Err(shape()) };
        let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        let named = resource.strip_prefix("role/").is_some_and(is_path);
        let fits = arn.eq_ignore_ascii_case("arn") && is_partition(partition) && numbered && named;
        if fits { Ok(Self(text.into())) } else { Err(shape()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.field(1)
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        self.field(4)
    }

    /// The last segment of the path: the role's name proper.
    pub fn name(&self) -> &str {
        last_segment(&self.0)
    }

    fn field(&self, index: usize) -> &str {
        fields(&self.0)[index]
    }
}

impl fmt::Debug for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of roles can be asked for a text.
impl Borrow<str> for RoleArn {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `--base-role-arn` stands for: it goes before every role that is not an ARN itself. Empty when none is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseArn(String);

impl BaseArn {
    /// Takes `text` if it is a role ARN less its name; a missing last slash is added, as kube2iam does.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let with_slash = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
        let probe = format!("{with_slash}name");
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/.:".contains(&b));
        match RoleArn::parse(&probe) {
            Ok(_) if plain && text.starts_with("arn:") => Ok(Self(with_slash)),
            _ => Err(ArnError { found: text.chars().take(SHOWN).collect() }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full form of a role or of a pattern: an ARN stays as it is, anything else gets the base before it.
    pub fn complete<'a>(&self, role: &'a str) -> Cow<'a, str> {
        if is_arn(role) {
            return role.into();
        }
        let mut full = String::with_capacity(self.0.len() + role.len());
        full.push_str(&self.0);
        full.push_str(role);
        full.into()
    }

    /// Whether `name` names this role.
    pub fn names(&self, name: &str, role: &RoleArn) -> bool {
        if is_arn(name) { name == role.as_str() } else { role.as_str().strip_prefix(&*self.0) == Some(name) }
    }

    /// The role that an annotation or a request names.
    pub fn role(&self, name: &str) -> Result<RoleArn, ArnError> {
        match self.complete(name) {
            // The base has been read; with every request it isn't read again.
            Cow::Owned(full) if !self.0.is_empty() && full.len() <= LONGEST && is_path(name) => {
                Ok(RoleArn(full.into()))
            }
            full => RoleArn::parse(&full),
        }
    }

    /// The short form that pods are told: what follows the base, or the whole ARN. It leads back to the role: what
    /// follows the base and looks like an ARN itself isn't told alone.
    pub fn shorten<'a>(&self, role: &'a RoleArn) -> &'a str {
        let full = role.as_str();
        let short = full.strip_prefix(self.0.as_str()).filter(|short| !short.is_empty() && !is_arn(short));
        if self.0.is_empty() { full } else { short.unwrap_or(full) }
    }
}

/// Whether a text claims to be an ARN, in any case of `arn:`.
pub fn is_arn(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
}

/// A text that is not a role ARN, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArnError {
    found: String,
}

impl fmt::Display for ArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a role ARN (arn:PARTITION:iam::ACCOUNT:role/NAME)", self.found.escape_debug())
    }
}

/// What stands between the first five colons, and all that follows them; empty where there are fewer.
fn fields(arn: &str) -> [&str; 6] {
    let mut rest = arn;
    let mut fields = [""; 6];
    for field in &mut fields[..5] {
        let Some(end) = rest.bytes().position(|byte| byte == b':') else {
            *field = rest;
            return fields;
        };
        (*field, rest) = (&rest[..end], &rest[end + 1..]);
    }
    fields[5] = rest;
    fields
}

fn last_segment(path: &str) -> &str {
    path.bytes().rposition(|byte| byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// What stands behind `role/`: the role's path, if it has one, and its name.
fn is_path(text: &str) -> bool {
    let name = last_segment(text);
    !name.is_empty() && name.bytes().all(is_name) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_partition(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The characters of an IAM role's name (IAM API reference, CreateRole).
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// STS takes role ARNs of 20 to 2048 characters.
const LONGEST: usize = 2_048;
/// How much of a wrong text an error repeats.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_are_told_from_other_texts() {
        for (text, fits) in [
            ("arn:aws:iam::123456789012:role/app", true),
            ("ARN:aws:iam::123456789012:role/app", true),
            ("arn:aws-us-gov:iam::123456789012:role/team/app+x=1,2.3@-_", true),
            ("arn:aws:iam::123456789012:role/", false),
            ("arn:aws:iam::123456789012:role/app/", false),
            ("arn:aws:iam::123456789012:user/app", false),
            ("arn:aws:sts::123456789012:assumed-role/app/x", false),
            ("arn:aws:iam:eu-west-1:123456789012:role/app", false),
            ("arn:aws:iam:::role/app", false),
            ("arn::iam::123456789012:role/app", false),
            ("arn:aws:iam::12345678901x:role/app", false),
            ("arn:aws:iam::123456789012:role/a b", false),
            ("arn:aws:iam::123456789012:role/app\n", false),
            ("arn:aws:iam::123456789012:role/äpp", false),
            ("app", false),
            ("", false),
        ] {
            assert_eq!(RoleArn::parse(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn parts_of_a_role_arn() {
        let role = RoleArn::parse("arn:aws-cn:iam::123456789012:role/team/app").unwrap();
        assert_eq!((role.partition(), role.account(), role.name()), ("aws-cn", "123456789012", "app"));
    }

    #[test]
    fn the_base_goes_before_names_and_comes_off_again() {
        let base = BaseArn::parse("arn:aws:iam::123456789012:role").unwrap();
        assert_eq!(base.as_str(), "arn:aws:iam::123456789012:role/");
        for (name, arn, short) in [
            ("app", "arn:aws:iam::123456789012:role/app", "app"),
            ("team/app", "arn:aws:iam::123456789012:role/team/app", "team/app"),
            (
                "arn:aws:iam::210987654321:role/b",
                "arn:aws:iam::210987654321:role/b",
                "arn:aws:iam::210987654321:role/b",
            ),
            ("arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:role/app", "app"),
        ] {
            let role = base.role(name).unwrap();
            assert_eq!((role.as_str(), base.shorten(&role)), (arn, short));
        }
    }

    #[test]
    fn the_short_form_of_a_role_leads_back_to_it() {
        let base = BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap();
        for name in ["app", "arn/app", "arn:x/app", "ARN:aws:iam::1:role/app"] {
            let role = RoleArn::parse(&format!("{}{name}", base.as_str())).unwrap();
            assert_eq!(base.role(base.shorten(&role)), Ok(role));
        }
    }

    #[test]
    fn a_role_below_the_base_is_what_reading_the_whole_would_give() {
        let pieces = ["", "a", "/", ":", "Z_+=,.@-9", " ", "é", "(", "arn:"];
        for base in ["arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:role/team/", ""] {
            let base = if base.is_empty() { BaseArn::default() } else { BaseArn::parse(base).unwrap() };
            for number in 0..pieces.len().pow(4) {
                let digits = (0..4).map(|place| number / pieces.len().pow(place) % pieces.len());
                let name: String = digits.map(|digit| pieces[digit]).collect();
                assert_eq!(base.role(&name), RoleArn::parse(&base.complete(&name)), "{name}");
            }
            for length in LONGEST - 60..=LONGEST {
                let name = "x".repeat(length);
                assert_eq!(base.role(&name), RoleArn::parse(&base.complete(&name)), "{length}");
            }
        }
    }

    #[test]
    fn wrong_bases_are_refused() {
        for text in [
            "",
            "app",
            "arn:aws:iam::x:role/",
            "arn:aws:iam::123456789012:user/",
            "ARN:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
        ] {
            assert!(BaseArn::parse(text).is_err(), "{text}");
        }
        assert!(BaseArn::parse("arn:aws:iam::123456789012:role/team.a/b_c").is_ok());
    }

    #[test]
    fn without_a_base_only_arns_are_roles() {
        assert!(BaseArn::default().role("app").is_err());
        let role = BaseArn::default().role("arn:aws:iam::123456789012:role/app").unwrap();
        assert_eq!(BaseArn::default().shorten(&role), role.as_str());
    }
}
