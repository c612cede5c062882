//! Kubernetes Events about refusals: which refusals get one, how often, and its text.
//!
//! - Temporary refusals and malformed requests of a program get no Event.
//! - One Event per pod and reason, with a count; it is updated at most every ten minutes, and all Events share a rate
//!   limit.
//! - More people may read Events than the agent's log, so they contain no account, no ARN that the pod doesn't name
//!   itself, and no message of AWS.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::advice::{AdviceNames, Base, meaning, mend};
use crate::logic::base::json;
use crate::logic::base::time::{Mono, Now, Wall};
use crate::logic::cluster::kubernetes::AnnotationKeys;
use crate::logic::cluster::world::HeldPod;
use crate::logic::policy::arn::NamedRole;
use crate::logic::policy::reason::Reason;
use crate::logic::sessions::budget::{Bucket, Rate};

/// A pod that was refused, or would have been without audit mode.
#[derive(Clone, Debug)]
pub struct RefusedPod {
    pub pod: Arc<HeldPod>,
    pub reason: Reason,
    pub effect: Effect,
}

/// The effect of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Refused,
    /// The request was allowed, in audit mode.
    LetPass,
}

/// An Event to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub namespace: String,
    /// Equal for the same pod and reason, so that a later one updates the count of the earlier one
    pub name: String,
    pub count: u32,
    /// The complete object
    pub object: String,
    /// The patch if the object already exists
    pub change: String,
}

/// The Events written so far.
#[derive(Debug)]
pub struct EventBook {
    written: HashMap<NoticeKey, WrittenNotice>,
    pace: Bucket,
    keys: AnnotationKeys,
    base: Base,
    /// `--node`
    node: String,
}

type NoticeKey = (Arc<str>, Reason, Effect);

#[derive(Debug)]
struct WrittenNotice {
    first: Wall,
    written: Mono,
    count: u32,
}

/// Whether the pod's owner can fix the cause of a refusal.
pub const fn is_for_owner(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenRequired
            | Reason::ForwardedFor
            | Reason::TokenOtherPod
            | Reason::OtherRole
            | Reason::OwnRole
            | Reason::AccountNotAllowed
            | Reason::StsRefused
            | Reason::TagsRefused
            | Reason::ProofRequired
            | Reason::StsTokenInvalid
            | Reason::StsClaimRejected
            | Reason::StsTokenUntrusted
            | Reason::ExternalIdUnsupported
            | Reason::ExternalIdMalformed
            | Reason::PolicyMalformed
            | Reason::PolicyArnsMalformed
            | Reason::UnknownServiceAccount
            | Reason::NoRole
            | Reason::RoleMalformed
            | Reason::UnknownNamespace
            | Reason::RoleNotAllowed
            | Reason::NoNodeCredentials
            | Reason::NoRegion
    )
}

impl Notice {
    /// A sample that tests whether Events can be written; it isn't kept.
    pub fn trial() -> Self {
        let (namespace, name) = ("default".to_owned(), "kube2iam-doctor".to_owned());
        let object = json::text(&EventJson {
            involved_object: EventPodJson { namespace: &namespace, name: &name, ..EventPodJson::default() },
            r#type: "Normal",
            reason: "Trial",
            message: "a trial",
            ..EventJson::of(&namespace, &name)
        });
        Self { namespace, name, count: 1, object, change: "{}".to_owned() }
    }
}

impl EventBook {
    pub fn new(keys: AnnotationKeys, node: String, now: Mono) -> Self {
        Self { written: HashMap::new(), pace: Bucket::full(PACE, now), keys, base: Base::Unset, node }
    }

    /// Sets the base, which may be discovered after the start.
    pub fn set_base(&mut self, base: Base) {
        self.base = base;
    }

    /// Records a refusal; returns the Event to write now, if any.
    pub fn note(&mut self, refused: &RefusedPod, now: Now) -> Option<Notice> {
        if !is_for_owner(refused.reason) {
            return None;
        }
        let key = (refused.pod.uid.clone(), refused.reason, refused.effect);
        let due = match self.written.get_mut(&key) {
            Some(notice) => {
                notice.count = notice.count.saturating_add(1);
                now.mono.since(notice.written) >= AGAIN_AFTER
            }
            None => self.has_room(now.mono),
        };
        if !due || !self.pace.take(PACE, now.mono) {
            return None;
        }
        let notice = self.written.entry(key).or_insert(WrittenNotice { first: now.wall, written: now.mono, count: 1 });
        notice.written = now.mono;
        let (first, count) = (notice.first, notice.count);
        Some(self.notice(refused, first, now.wall, count))
    }

    /// Makes room by dropping Events that have exceeded their lifetime in the API server (an hour).
    fn has_room(&mut self, now: Mono) -> bool {
        if self.written.len() >= MOST_WRITTEN {
            self.written.retain(|_, notice| now.since(notice.written) < FORGOTTEN_AFTER);
        }
        self.written.len() < MOST_WRITTEN
    }

    fn notice(&self, refused: &RefusedPod, first: Wall, last: Wall, count: u32) -> Notice {
        let RefusedPod { pod, reason, effect } = refused;
        let (namespace, last) = (pod.namespace.to_string(), last.rfc3339());
        let name = name(pod, *reason, *effect);
        let message = self.message(pod, *reason, *effect);
        let change = ChangeJson { count, last_timestamp: &last, message: &message };
        let object = json::text(&EventJson {
            involved_object: EventPodJson {
                namespace: &namespace,
                name: &pod.name,
                uid: Some(&pod.uid),
                ..EventPodJson::default()
            },
            r#type: "Warning",
            reason: &title(*reason, *effect),
            source: Some(SourceJson { component: COMPONENT, host: &self.node }),
            reporting_component: Some(COMPONENT),
            reporting_instance: Some(if self.node.is_empty() { COMPONENT } else { &self.node }),
            first_timestamp: Some(&first.rfc3339()),
            last_timestamp: Some(&last),
            message: &message,
            count: Some(count),
            ..EventJson::of(&namespace, &name)
        });
        let change = json::text(&change);
        Notice { namespace, name, count, object, change }
    }

    fn message(&self, pod: &HeldPod, reason: Reason, effect: Effect) -> String {
        let named = pod.role().map(NamedRole::written).filter(|role| !role.is_empty());
        let role = named.as_deref().unwrap_or("the default role");
        let names = AdviceNames {
            namespace: &pod.namespace,
            pod: &pod.name,
            account: &pod.service_account,
            role,
            role_key: &self.keys.role,
            list_key: &self.keys.allowed_roles,
            base: self.base,
            listed: None,
        };
        let head = match effect {
            Effect::Refused => format!("{}: ", reason.word()),
            Effect::LetPass => format!("policy=audit, would be refused, {}: ", reason.word()),
        };
        let text = format!("{head}{}. To mend it, {}", meaning(reason), mend(reason, &names));
        text.chars().take(LONGEST_MESSAGE).collect()
    }
}

/// An Event as the API server accepts it (kubernetes, core/v1 Event).
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: EventMetadataJson<'a>,
    involved_object: EventPodJson<'a>,
    r#type: &'a str,
    reason: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporting_component: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporting_instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

#[derive(Default, Serialize)]
struct EventMetadataJson<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventPodJson<'a> {
    api_version: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    component: &'a str,
    host: &'a str,
}

/// The fields of an Event that change when it is updated.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeJson<'a> {
    count: u32,
    last_timestamp: &'a str,
    message: &'a str,
}

impl<'a> EventJson<'a> {
    fn of(namespace: &'a str, name: &'a str) -> Self {
        Self { api_version: "v1", kind: "Event", metadata: EventMetadataJson { name, namespace }, ..Self::default() }
    }
}

impl Default for EventPodJson<'_> {
    fn default() -> Self {
        Self { api_version: "v1", kind: "Pod", namespace: "", name: "", uid: None }
    }
}

/// The reason in the style of Events: `RoleNotAllowed`.
fn title(reason: Reason, effect: Effect) -> String {
    let words = reason.word().split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    });
    let title: String = words.collect();
    match effect {
        Effect::Refused => title,
        Effect::LetPass => format!("Audit{title}"),
    }
}

/// `POD.HASH`, like names of other Kubernetes clients' Events.
fn name(pod: &HeldPod, reason: Reason, effect: Effect) -> String {
    let seed = format!("{}/{}/{effect:?}", pod.uid, reason.word());
    let hash = seed.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let room = LONGEST_NAME - ".0123456789abcdef".len();
    let stem = &pod.name[..pod.name.len().min(room)]; // pod names are ASCII (RFC 1123)
    format!("{}.{hash:016x}", stem.trim_end_matches(['.', '-']))
}

const COMPONENT: &str = "kube2iam";
/// Pods often fail in groups; this limits the Events of one node.
const PACE: Rate = Rate { burst: 25.0, refill: 0.5 };
const AGAIN_AFTER: Duration = Duration::from_secs(600);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
const MOST_WRITTEN: usize = 1_024;
/// The API server's limit on an Event's message (kubernetes, core/v1 Event: 1024 bytes).
const LONGEST_MESSAGE: usize = 1_000;
/// Limit of an object's name (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;
/// FNV-1a, 64 bits: the name only needs to be equal for the same pod and reason.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests;
