//! Role ARNs: `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.

mod named;

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

pub use named::NamedRole;

/// A well-formed role ARN, kept as written: kube2iam compares ARNs case-sensitively.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn(Arc<str>);

impl RoleArn {
    /// Parses `text` as a role ARN. Only the prefix `arn` is case-insensitive.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let shape = || ArnError { found: text.chars().take(SHOWN).collect() };
        let [arn, partition, "iam", "", account, resource] = fields(text) else { return Err(shape()) };
        let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        let named = resource.strip_prefix("role/").is_some_and(|text| is_path_and_name(text, 0));
        let short = partition.len() <= LONGEST_FIELD && account.len() <= LONGEST_FIELD;
        let fits = arn.eq_ignore_ascii_case("arn") && is_partition(partition) && numbered && short && named;
        if fits { Ok(Self(text.into())) } else { Err(shape()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.field(1)
    }

    /// The account number.
    pub fn account(&self) -> &str {
        self.field(4)
    }

    /// The last segment of the path: the role's name without its path.
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

/// Lets a set of roles be looked up by `&str`.
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

/// `--base-role-arn`, which is prepended to every role that isn't a full ARN. Empty if it isn't set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseArn {
    text: String,
    /// Length of the base's part of the role path, in characters
    path: usize,
}

impl BaseArn {
    /// The account field; empty without a base.
    pub fn account(&self) -> &str {
        fields(&self.text)[4]
    }

    /// No base is set.
    pub const NONE: Self = Self { text: String::new(), path: 0 };

    /// Parses `text` as a role ARN without the name. A missing trailing slash is added, as kube2iam does.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let with_slash = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
        let probe = format!("{with_slash}name");
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/.:".contains(&b));
        match RoleArn::parse(&probe) {
            Ok(_) if plain && text.starts_with("arn:") => {
                let path = fields(&with_slash)[5].len() - "role/".len();
                Ok(Self { text: with_slash, path })
            }
            _ => Err(ArnError { found: text.chars().take(SHOWN).collect() }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The full form of a role or a pattern: an ARN stays as it is, anything else gets the base prepended.
    pub fn complete<'a>(&self, role: &'a str) -> Cow<'a, str> {
        if is_arn(role) {
            return role.into();
        }
        let mut full = String::with_capacity(self.text.len() + role.len());
        full.push_str(&self.text);
        full.push_str(role);
        full.into()
    }

    /// Whether `name`, short or a full ARN, refers to this role.
    pub fn names(&self, name: &str, role: &RoleArn) -> bool {
        if is_arn(name) {
            return name == role.as_str();
        }
        role.as_str().strip_prefix(&*self.text) == Some(self.relative(name))
    }

    /// Strips a leading slash, which joined Terraform attributes leave before a path and name: the base already ends
    /// in a slash. Without a base the text is left alone.
    pub fn relative<'a>(&self, name: &'a str) -> &'a str {
        if self.text.is_empty() { name } else { name.strip_prefix('/').unwrap_or(name) }
    }

    /// The role that an annotation or a request names.
    pub fn role(&self, name: &str) -> Result<RoleArn, ArnError> {
        let tail = self.relative(name);
        if self.text.is_empty() || is_arn(name) {
            return RoleArn::parse(name);
        }
        // Validates only the rest: the base is already validated, and this runs for every request.
        if is_path_and_name(tail, self.path) {
            return Ok(RoleArn([&*self.text, tail].concat().into()));
        }
        Err(ArnError { found: format!("{}{tail}", self.text).chars().take(SHOWN).collect() })
    }

    /// The short form shown to pods: the part after the base, or the whole ARN without one. It always resolves to the
    /// same role: a rest that looks like an ARN itself isn't shortened.
    pub fn shorten<'a>(&self, role: &'a RoleArn) -> &'a str {
        let full = role.as_str();
        let short = full.strip_prefix(self.text.as_str()).filter(|short| !short.is_empty() && !is_arn(short));
        if self.text.is_empty() { full } else { short.unwrap_or(full) }
    }
}

/// Whether a text starts with `arn:`, in any case.
pub fn is_arn(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
}

/// A text that is not a role ARN; the message shows the expected form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArnError {
    found: String,
}

impl fmt::Display for ArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a role ARN (arn:PARTITION:iam::ACCOUNT:role/NAME)", self.found.escape_debug())
    }
}

/// Splits at the first five colons; missing fields are empty.
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

/// Whether `text` is a role's optional path and its name, as they follow `role/`. `before` characters of the path
/// precede `text`. IAM paths have no empty segments; `.` and `..` are refused because other programs resolve them,
/// `%` and `\` because no request path may contain them in any encoding, so such a role could never be requested.
fn is_path_and_name(text: &str, before: usize) -> bool {
    let name = last_segment(text);
    let path = before + text.len() - name.len() + "/".len();
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    path <= LONGEST_PATH
        && name.len() <= LONGEST_NAME
        && name.bytes().all(is_name)
        && text.split('/').all(is_segment)
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'%' | b'\\'))
}

fn is_partition(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The characters of an IAM role name (IAM API reference, CreateRole).
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// Limits of a role's path, including its outer slashes, and of its name (IAM API reference, CreateRole).
const LONGEST_PATH: usize = 512;
const LONGEST_NAME: usize = 64;
/// Limit of the partition and the account; real ones have less than half of it.
const LONGEST_FIELD: usize = 32;
/// How many characters of an invalid text an error repeats.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests;
