//! Session annotations of a pod, parsed once when the pod changes. If STS would refuse a value, or a session policy
//! can't be applied, the pod's requests are refused with the reason.

use crate::logic::cluster::kubernetes::SessionAnnotations;
use crate::logic::policy::reason::Reason;
use crate::logic::sts::SessionPolicy;

/// A pod's session parameters, ready for the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    pub(super) external_id: Option<Box<str>>,
    /// With the characters that STS allows
    pub(super) name: Option<Box<str>>,
    pub(super) policy: Option<SessionPolicy>,
    pub(super) policy_arns: Vec<String>,
}

impl SessionOptions {
    pub fn parse(external_id: Option<&str>, annotations: Option<&SessionAnnotations>) -> Result<Self, Reason> {
        let text = |value: fn(&SessionAnnotations) -> Option<&str>| annotations.and_then(value);
        let name = text(|annotations| annotations.name.as_deref()).filter(|name| !name.is_empty());
        let options = Self {
            policy: text(|annotations| annotations.policy.as_deref()).map(policy).transpose()?,
            policy_arns: text(|annotations| annotations.policy_arns.as_deref()).map_or(Ok(Vec::new()), policy_arns)?,
            external_id: self::external_id(external_id)?,
            name: name.map(|name| super::clean(name.to_owned()).into()),
        };
        let arns: usize = options.policy_arns.iter().map(String::len).sum();
        let inline = options.policy.as_ref().map_or(0, SessionPolicy::characters);
        if inline + arns > LONGEST_POLICIES {
            return Err(if inline == 0 { Reason::PolicyArnsMalformed } else { Reason::PolicyMalformed });
        }
        Ok(options)
    }
}

/// The external ID; an empty annotation counts as none, as with kube2iam.
fn external_id(annotation: Option<&str>) -> Result<Option<Box<str>>, Reason> {
    let Some(text) = annotation.filter(|text| !text.is_empty()) else { return Ok(None) };
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    if EXTERNAL_ID_LETTERS.contains(&text.len()) && text.bytes().all(known) {
        Ok(Some(text.into()))
    } else {
        Err(Reason::ExternalIdMalformed)
    }
}

/// The inline policy: a JSON object, without the whitespace between tokens, which counts towards the size.
fn policy(text: &str) -> Result<SessionPolicy, Reason> {
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if text.len() > LONGEST_ANNOTATION || !text.trim_start().starts_with('{') || !is_json() {
        return Err(Reason::PolicyMalformed);
    }
    SessionPolicy::new(&without_blanks(text))
        .filter(|policy| policy.characters() <= LONGEST_POLICIES)
        .ok_or(Reason::PolicyMalformed)
}

/// JSON without the whitespace outside of strings.
fn without_blanks(json: &str) -> String {
    let (mut within, mut escaped) = (false, false);
    let mut keep = |c: char| {
        let kept = within || !c.is_ascii_whitespace();
        match c {
            _ if escaped => escaped = false,
            '\\' if within => escaped = true,
            '"' => within = !within,
            _ => {}
        }
        kept
    };
    json.chars().filter(|c| keep(*c)).collect()
}

/// Managed policies: ARNs separated by commas or whitespace, or a JSON array.
fn policy_arns(text: &str) -> Result<Vec<String>, Reason> {
    let arns: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| Reason::PolicyArnsMalformed)?
    } else {
        let words = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let fits = (1..=MOST_POLICY_ARNS).contains(&arns.len()) && arns.iter().all(|arn| is_policy_arn(arn));
    if fits { Ok(arns) } else { Err(Reason::PolicyArnsMalformed) }
}

/// `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`; AWS managed policies have `aws` as the account.
fn is_policy_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let owned = account == "aws" || (!account.is_empty() && account.bytes().all(|b| b.is_ascii_digit()));
    let named = resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty() && !name.ends_with('/'));
    let plain = text.len() <= LONGEST_ARN && text.bytes().all(|b| b.is_ascii_graphic());
    !partition.is_empty() && owned && named && plain
}

/// Limit of `ExternalId` (STS API reference, AssumeRole).
const EXTERNAL_ID_LETTERS: std::ops::RangeInclusive<usize> = 2..=1_224;
/// Limit of `Policy` and `PolicyArns` together, in characters (same page).
const LONGEST_POLICIES: usize = 2_048;
/// `PolicyArns`: at most ten, of at most 2048 characters each (same page).
const MOST_POLICY_ARNS: usize = 10;
const LONGEST_ARN: usize = 2_048;
/// Eight times the longest policy, which leaves room for whitespace.
const LONGEST_ANNOTATION: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_ids_have_the_alphabet_and_length_of_sts() {
        let longest = "x".repeat(1_224);
        for (annotation, read) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("x"), Err(Reason::ExternalIdMalformed)),
            (Some("xy"), Ok(Some("xy"))),
            (Some("Az09_+=,.@:/-"), Ok(Some("Az09_+=,.@:/-"))),
            (Some("a b"), Err(Reason::ExternalIdMalformed)),
            (Some("a\nb"), Err(Reason::ExternalIdMalformed)),
            (Some("gr\u{fc}n"), Err(Reason::ExternalIdMalformed)),
            (Some(&longest), Ok(Some(&*longest))),
            (Some(&format!("{longest}x")), Err(Reason::ExternalIdMalformed)),
        ] {
            assert_eq!(external_id(annotation), read.map(|read| read.map(Box::from)), "{annotation:?}");
        }
    }

    #[test]
    fn policies_are_json_objects_within_the_limit_of_sts() {
        let of_size = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8));
        for (annotation, read) in [
            ("{}".to_owned(), Some("{}".to_owned())),
            (" {\n  \"a b\" : [ \"c \\\" d\" , 1 ]\t}\n".to_owned(), Some(r#"{"a b":["c \" d",1]}"#.to_owned())),
            (r#"{"a":"\\"  }"#.to_owned(), Some(r#"{"a":"\\"}"#.to_owned())),
            (of_size(2_048), Some(of_size(2_048))),
            (format!("{}\n\n", of_size(2_048)), Some(of_size(2_048))),
            (of_size(2_049), None),
            (format!("{{{}}}", " ".repeat(16_382)), Some("{}".to_owned())),
            (format!("{{{}}}", " ".repeat(16_383)), None),
            ("{\"a\":\"\u{ff}\"}".to_owned(), Some("{\"a\":\"\u{ff}\"}".to_owned())),
            ("{\"a\":\"\u{100}\"}".to_owned(), None),
            (String::new(), None),
            ("[]".to_owned(), None),
            ("\"{}\"".to_owned(), None),
            ("{\"a\":1".to_owned(), None),
            ("{} {}".to_owned(), None),
        ] {
            assert_eq!(policy(&annotation).ok().map(|policy| policy.text()), read, "{annotation}");
        }
    }

    #[test]
    fn policy_arns_are_a_list_or_a_json_array() {
        let (one, two) = ("arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws-cn:iam::123456789012:policy/team/x");
        for (annotation, read) in [
            (one.to_owned(), Some(vec![one])),
            (format!("{one},{two}"), Some(vec![one, two])),
            (format!(" {one} ,\n{two}, "), Some(vec![one, two])),
            (format!(r#"["{one}", "{two}"]"#), Some(vec![one, two])),
            ([one; 10].join(","), Some(vec![one; 10])),
            ([one; 11].join(","), None),
            (String::new(), None),
            (" , ".to_owned(), None),
            ("[]".to_owned(), None),
            (format!("[{one}]"), None),
            ("ReadOnlyAccess".to_owned(), None),
            ("arn:aws:iam::aws:policy/".to_owned(), None),
            ("arn:aws:iam::123456789012:role/x".to_owned(), None),
            ("arn:aws:iam::somebody:policy/x".to_owned(), None),
            (format!("{one}\u{e9}"), None),
        ] {
            let expected = read.map(|arns| arns.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(policy_arns(&annotation).ok(), expected, "{annotation}");
        }
    }

    #[test]
    fn an_invalid_session_policy_refuses() {
        let with = |policy: Option<&str>, arns: Option<&str>| {
            let (policy, policy_arns) = (policy.map(Into::into), arns.map(Into::into));
            SessionOptions::parse(None, Some(&SessionAnnotations { name: None, policy, policy_arns }))
        };
        assert_eq!(with(Some(""), None), Err(Reason::PolicyMalformed));
        assert_eq!(with(Some("{}"), Some("")), Err(Reason::PolicyArnsMalformed));
        assert_eq!(with(None, None), Ok(SessionOptions::default()));
        assert_eq!(SessionOptions::parse(None, None), Ok(SessionOptions::default()));
    }

    #[test]
    fn policy_and_policy_arns_share_their_limit() {
        let arn = |length: usize| format!("arn:aws:iam::aws:policy/{}", "x".repeat(length - 24));
        let with = |policy: Option<usize>, arns: &[usize]| {
            let policy = policy.map(|length| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8)).into());
            let arns = arns.iter().map(|length| arn(*length)).collect::<Vec<_>>().join(",");
            let policy_arns = (!arns.is_empty()).then(|| arns.into());
            SessionOptions::parse(None, Some(&SessionAnnotations { name: None, policy, policy_arns })).err()
        };
        assert_eq!(with(Some(1_048), &[500, 500]), None);
        assert_eq!(with(Some(1_049), &[500, 500]), Some(Reason::PolicyMalformed));
        assert_eq!(with(None, &[1_024, 1_024]), None);
        assert_eq!(with(None, &[1_024, 1_025]), Some(Reason::PolicyArnsMalformed));
    }
}
