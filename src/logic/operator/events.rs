//! Which refusals become a Kubernetes Event on the pod, how often, and in what words.
//!
//! - Nothing that passes by itself, and nothing that a program does wrong in a request, is worth an Event.
//! - One Event per pod and reason, counted up; written again at most every ten minutes, and all together at a pace.
//! - An Event may be read by more people than the agent's log: it carries no account, no ARN that the pod itself
//!   doesn't name, and no word of AWS's.

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

/// A pod that was refused, or in audit mode would have been.
#[derive(Clone, Debug)]
pub struct RefusedPod {
    pub pod: Arc<HeldPod>,
    pub reason: Reason,
    pub effect: Effect,
}

/// What a refusal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Refused,
    /// It passed, in audit mode.
    LetPass,
}

/// An Event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub namespace: String,
    /// The same for the same pod and reason, so that a later one counts the former up
    pub name: String,
    pub count: u32,
    /// The whole object
    pub object: String,
    /// What changes in it when it is there already
    pub change: String,
}

/// What has been written so far.
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

/// Whether the pod's owner can do something about a refusal.
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
    /// One that stands for all, to be tried and not to stay.
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

    /// The base may be discovered after the start.
    pub fn set_base(&mut self, base: Base) {
        self.base = base;
    }

    /// Takes up a refusal; `Some` if it is to be written down now.
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

    /// Makes room by forgetting what an Event's own life (an hour, by the API server) has ended.
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

/// An Event as the API server takes it (kubernetes, core/v1 Event).
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

/// The part of an Event that changes when it is written again.
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

/// The reason as Events spell theirs: `RoleNotAllowed`.
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

/// `POD.HASH`, as clients of Kubernetes name theirs.
fn name(pod: &HeldPod, reason: Reason, effect: Effect) -> String {
    let seed = format!("{}/{}/{effect:?}", pod.uid, reason.word());
    let hash = seed.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let room = LONGEST_NAME - ".0123456789abcdef".len();
    let stem = &pod.name[..pod.name.len().min(room)]; // names of pods are ASCII (RFC 1123)
    format!("{}.{hash:016x}", stem.trim_end_matches(['.', '-']))
}

const COMPONENT: &str = "kube2iam";
/// Pods in trouble come in crowds; the Events of one node are bounded.
const PACE: Rate = Rate { burst: 25.0, refill: 0.5 };
const AGAIN_AFTER: Duration = Duration::from_secs(600);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
const MOST_WRITTEN: usize = 1_024;
/// The API server's limit on an Event's message (kubernetes, core/v1 Event: 1024 bytes).
const LONGEST_MESSAGE: usize = 1_000;
/// Of an object's name (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;
/// FNV-1a, 64 bits: the name must only be the same for the same pod and reason.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests;
