//! How sessions are requested from STS, how long they last, and what they carry.

use std::time::Duration;

use super::flags::SessionFlags;
use super::listen::ListenConfig;
use super::pflag::CommandLine;
use super::usage::UsageError;
use super::values::{one_of, or_allowed};
use crate::logic::policy::arn::RoleArn;
use crate::logic::sessions::cache::RenewAt;
use crate::logic::sessions::session::{CallsBear, NameAnnotation, NameTemplate, TagReach, Tags};

#[derive(Clone, Debug, PartialEq)]
pub struct StsConfig {
    /// How calls for pods' sessions are authenticated
    pub bearing: CallsBear,
    pub life: SessionLife,
    /// How long a failure is cached; `None`: final failures longer than transient ones
    pub error_ttl: Option<Duration>,
    /// The role to assume first, which then assumes the pods' roles
    pub assume_first: Option<RoleArn>,
    pub session_name: NameTemplate,
    pub name_annotation: NameAnnotation,
    pub tags: Tags,
    /// Fetch a pod's credentials when it appears. Never set without a node, since the whole cluster has too many pods,
    /// nor if calls need the pods' tokens, since a new pod has not sent one yet.
    pub prefetch: bool,
    /// Calls per second for renewals and prefetch; above 0
    pub calls_per_second: f64,
}

/// How long sessions last and when they are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLife {
    /// `DurationSeconds` of AssumeRole
    pub asked_s: u32,
    pub renew: RenewAt,
}

impl StsConfig {
    pub(super) fn read(
        flags: SessionFlags,
        line: &CommandLine<'_>,
        node: Option<&str>,
        listen: &ListenConfig,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let bearing = flags.sts;
        if bearing == CallsBear::PodToken {
            refuse_what_no_token_carries(&flags, line, listen)?;
        }
        if flags.prefetch && line.is_typed("prefetch") {
            let missing = match bearing {
                CallsBear::PodToken => {
                    Some(format!("with {}, which takes a token that a pod shows", line.shown("sts")))
                }
                CallsBear::NodeSignature => node.is_none().then(|| "without --node".to_owned()),
            };
            warnings.extend(missing.map(|missing| format!("--prefetch has no effect {missing}")));
        }
        Ok(Self {
            bearing,
            life: SessionLife::read(&flags, line, warnings)?,
            error_ttl: flags.iam_role_error_ttl,
            tags: tags(&flags, warnings)?,
            assume_first: flags.assume_role_arn,
            session_name: flags.session_name,
            name_annotation: if flags.session_name_annotation { NameAnnotation::Read } else { NameAnnotation::Ignored },
            prefetch: flags.prefetch && node.is_some() && bearing == CallsBear::NodeSignature,
            calls_per_second: flags.sts_qps,
        })
    }
}

/// A call with a pod's token is not chained, has no tags, and needs the token.
fn refuse_what_no_token_carries(
    flags: &SessionFlags,
    line: &CommandLine<'_>,
    listen: &ListenConfig,
) -> Result<(), UsageError> {
    let refuse = |cause: String| Err(UsageError::contradiction(line.shown("sts"), cause));
    if !listen.container_credentials {
        return refuse("allowed only with --container-credentials, by which pods show their tokens".to_owned());
    }
    let refused = [
        (flags.assume_role_arn.is_some(), "--assume-role-arn", "its calls assume no role first"),
        (flags.session_tags, "--session-tags", "its calls carry no tags"),
        (flags.transitive_tags, "--transitive-tags", "its calls carry no tags"),
    ];
    let refused = refused.into_iter().find(|(is_set, ..)| *is_set);
    refused.map_or(Ok(()), |(_, flag, cause)| refuse(format!("not allowed with {flag}: {cause}")))
}

impl SessionLife {
    fn read(flags: &SessionFlags, line: &CommandLine<'_>, warnings: &mut Vec<String>) -> Result<Self, UsageError> {
        let Some(age) = flags.iam_role_session_ttl else {
            return Ok(Self { asked_s: STANDARD_LIFE_S, renew: RenewAt::Half });
        };
        let shown = || line.shown("iam-role-session-ttl");
        let asked_s = age.saturating_mul(2).as_secs();
        let within = u32::try_from(asked_s).ok().filter(|asked_s| (SHORTEST_S..=LONGEST_S).contains(asked_s));
        let Some(asked_s) = within else {
            let cause =
                format!("STS would be asked for twice that, {asked_s}s; allowed is {SHORTEST_S}s to {LONGEST_S}s");
            return Err(UsageError::contradiction(shown(), cause));
        };
        if asked_s > CHAINED_S && flags.sts == CallsBear::NodeSignature {
            warnings.push(format!(
                "{} asks for {asked_s}s, and STS refuses more than {CHAINED_S}s to a role that assumes a role",
                shown()
            ));
        }
        Ok(Self { asked_s, renew: RenewAt::Age(age) })
    }
}

fn tags(flags: &SessionFlags, warnings: &mut Vec<String>) -> Result<Tags, UsageError> {
    let cluster = flags.cluster_name.clone();
    if cluster.is_some() && !flags.session_tags {
        warnings.push("--cluster-name has no effect without --session-tags".to_owned());
    }
    match (flags.session_tags, flags.transitive_tags) {
        (true, true) => Ok(Tags::Pod { cluster, reach: TagReach::Chain }),
        (true, false) => Ok(Tags::Pod { cluster, reach: TagReach::Session }),
        (false, true) => Err(UsageError::contradiction("--transitive-tags", "allowed only with --session-tags")),
        (false, false) => Ok(Tags::None),
    }
}

pub(super) fn bearing(text: &str) -> Result<CallsBear, String> {
    one_of(text, &STS_WORDS)
}

pub(super) fn role_arn(text: &str) -> Result<RoleArn, String> {
    or_allowed(RoleArn::parse(text).ok(), "arn:PARTITION:iam::ACCOUNT:role/NAME")
}

pub(super) fn session_name(text: &str) -> Result<NameTemplate, String> {
    or_allowed(NameTemplate::parse(text).ok(), A_TEMPLATE)
}

/// The value of a session tag (STS API reference, Tag), limited to what cluster names need.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    let fits = text.chars().count() <= 256 && text.chars().all(plain);
    or_allowed(fits.then(|| text.to_owned()), "a tag's value: at most 256 letters, digits, blanks and _.:/=+-@")
}

pub(super) fn calls_per_second(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| *number > 0.0 && *number <= MOST_CALLS_PER_SECOND);
    or_allowed(number, "a number above 0, at most 1000")
}

const STS_WORDS: [(&str, CallsBear); 2] =
    [("assume-role", CallsBear::NodeSignature), ("web-identity", CallsBear::PodToken)];
/// An hour, which works everywhere: it is the maximum for a chained role (IAM user guide, role chaining).
const STANDARD_LIFE_S: u32 = 3_600;
const CHAINED_S: u32 = 3_600;
/// Bounds of `DurationSeconds` (STS API reference, AssumeRole).
const SHORTEST_S: u32 = 900;
const LONGEST_S: u32 = 43_200;
/// More than STS allows a whole account.
const MOST_CALLS_PER_SECOND: f64 = 1_000.0;
const A_TEMPLATE: &str = "text with {node}, {role}, {namespace}, {pod}, {service_account} or {uid} in it";
