//! A pod, a namespace or a service account, from its JSON to the few fields that are kept. Everything else is skipped without being built;
//! of the annotations only the wanted ones are.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{AnnotationKeys, Namespace, Object, Pod, Resource, ServiceAccount, SessionAnnotations, Version};

/// Reads one object and its version. The error says what is wrong with it.
pub fn object(json: &str, resource: Resource, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    match resource {
        Resource::Pods => pod(json, keys),
        Resource::Namespaces => namespace(json, keys),
        Resource::ServiceAccounts => service_account(json, keys),
    }
}

fn pod(json: &str, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    let PodJson { metadata, spec, status } = serde_json::from_str(json)?;
    let [role, external_id, v2, name, policy, policy_arns] = annotations(
        metadata.annotations,
        [&keys.role, &keys.external_id, V2_ANNOTATION, SESSION_NAME, POLICY, POLICY_ARNS],
    )?;
    let [name, policy, policy_arns] =
        [name, policy, policy_arns].map(|value| value.map(|value| bounded(value, LONGEST_OF_SESSION).into_boxed_str()));
    let session = SessionAnnotations { name, policy, policy_arns };
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let addresses = status.addresses();
    let pod = Pod {
        uid: required(metadata.uid, "metadata.uid")?,
        namespace: required(metadata.namespace, "metadata.namespace")?,
        name: required(metadata.name, "metadata.name")?,
        service_account: spec.service_account_name.unwrap_or_default(),
        addresses,
        finished: matches!(&*status.phase, "Succeeded" | "Failed"),
        host_network: spec.host_network.unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        role: role.map(|role| bounded(role, LONGEST_ROLE)),
        external_id: external_id.map(|id| bounded(id, LONGEST_EXTERNAL_ID)),
        session: (session != SessionAnnotations::default()).then(|| Box::new(session)),
        v2_required: says_required(v2.as_deref()),
    };
    Ok((Object::Pod(pod), required(metadata.resource_version, "metadata.resourceVersion")?))
}

fn namespace(json: &str, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    let BareJson { metadata } = serde_json::from_str(json)?;
    let [allowed_roles, default_role, v2] =
        annotations(metadata.annotations, [&keys.allowed_roles, DEFAULT_ROLE, V2_ANNOTATION])?;
    let namespace = Namespace {
        uid: required(metadata.uid, "metadata.uid")?,
        name: required(metadata.name, "metadata.name")?,
        allowed_roles,
        default_role: default_role.map(|role| bounded(role, LONGEST_ROLE)),
        v2_required: says_required(v2.as_deref()),
    };
    Ok((Object::Namespace(namespace), required(metadata.resource_version, "metadata.resourceVersion")?))
}

fn service_account(json: &str, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    let BareJson { metadata } = serde_json::from_str(json)?;
    let [role, eks_role] = annotations(metadata.annotations, [&keys.role, EKS_ROLE])?;
    let account = ServiceAccount {
        uid: required(metadata.uid, "metadata.uid")?,
        namespace: required(metadata.namespace, "metadata.namespace")?,
        name: required(metadata.name, "metadata.name")?,
        role: [role, eks_role]
            .into_iter()
            .flatten()
            .find(|role| !role.is_empty())
            .map(|role| bounded(role, LONGEST_ROLE)),
    };
    Ok((Object::ServiceAccount(account), required(metadata.resource_version, "metadata.resourceVersion")?))
}

fn required(value: String, field: &str) -> Result<String, serde_json::Error> {
    if value.is_empty() { Err(serde_json::Error::custom(format_args!("`{field}` is missing"))) } else { Ok(value) }
}

/// What no value of its kind can be as long as is kept as [`TOO_LONG`] instead.
fn bounded(value: String, longest: usize) -> String {
    if value.len() > longest { TOO_LONG.to_owned() } else { value }
}

/// The laxer reading of the word is the stricter rule.
fn says_required(annotation: Option<&str>) -> bool {
    annotation.is_some_and(|value| value.trim().eq_ignore_ascii_case("required"))
}

/// An annotation: its name, and its value once it is found.
type Wanted<'w> = (&'w str, Option<String>);

/// Finds the values of the `wanted` annotations, at most eight.
fn annotations<const N: usize>(
    json: Option<&RawValue>,
    names: [&str; N],
) -> Result<[Option<String>; N], serde_json::Error> {
    const { assert!(N <= u8::BITS as usize) };
    let mut wanted = names.map(|name| (name, None));
    if let Some(json) = json {
        Scan(&mut wanted).deserialize(&mut serde_json::Deserializer::from_str(json.get()))?;
    }
    Ok(wanted.map(|(_, value)| value))
}

/// Walks an object of strings and keeps what stands under the wanted keys.
struct Scan<'s, 'w>(&'s mut [Wanted<'w>]);

impl<'de> DeserializeSeed<'de> for Scan<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(matching) = map.next_key_seed(Matching(self.0))? {
            if matching == 0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: String = map.next_value()?;
            for (place, (_, found)) in self.0.iter_mut().enumerate() {
                if matching & 1 << place != 0 {
                    *found = Some(value.clone());
                }
            }
        }
        Ok(())
    }
}

/// Which of some names a key equals, a bit for each; two may be configured alike.
struct Matching<'s, 'w>(&'s [Wanted<'w>]);

impl<'de> DeserializeSeed<'de> for Matching<'_, '_> {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Matching<'_, '_> {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an annotation")
    }

    fn visit_str<E>(self, key: &str) -> Result<u8, E> {
        let bits = self.0.iter().enumerate().map(|(place, (name, _))| u8::from(*name == key) << place);
        Ok(bits.fold(0, |all, bit| all | bit))
    }
}

#[derive(Deserialize)]
struct PodJson<'a> {
    #[serde(borrow)]
    metadata: MetadataJson<'a>,
    #[serde(default)]
    spec: Option<SpecJson>,
    #[serde(borrow, default)]
    status: Option<StatusJson<'a>>,
}

#[derive(Deserialize)]
struct BareJson<'a> {
    #[serde(borrow)]
    metadata: MetadataJson<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataJson<'a> {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecJson {
    service_account_name: Option<String>,
    host_network: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusJson<'a> {
    #[serde(borrow)]
    phase: Cow<'a, str>,
    #[serde(borrow, rename = "podIP")]
    pod_ip: Cow<'a, str>,
    #[serde(borrow, rename = "podIPs")]
    pod_ips: Option<Vec<PodIpJson<'a>>>,
}

#[derive(Deserialize)]
struct PodIpJson<'a> {
    #[serde(borrow, default)]
    ip: Cow<'a, str>,
}

impl StatusJson<'_> {
    /// Every address of `podIPs` (it repeats `podIP` as its first), else `podIP`.
    fn addresses(&self) -> Vec<IpAddr> {
        let several = self.pod_ips.iter().flatten().map(|entry| &*entry.ip);
        let mut addresses = Vec::new();
        for address in several.filter_map(address) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            addresses.extend(address(&self.pod_ip));
        }
        addresses
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Stands for an annotation that nobody could use: no role, external id or policy may have such characters, so that it
/// is refused like any other wrong value. A session's name is cleaned and cut, whatever it is.
const TOO_LONG: &str = "<too long>";
/// A role's ARN has at most so many characters (AWS STS API reference, AssumeRole).
const LONGEST_ROLE: usize = 2_048;
/// And an external id so many.
const LONGEST_EXTERNAL_ID: usize = 1_224;
/// What narrows or names a session; ten ARNs of policies have 20 KiB.
const LONGEST_OF_SESSION: usize = 32 * 1_024;
/// On pods and namespaces.
const V2_ANNOTATION: &str = "iam.amazonaws.com/imds-v2";
/// On pods; the first is kiam's.
pub const SESSION_NAME: &str = "iam.amazonaws.com/session-name";
const POLICY: &str = "iam.amazonaws.com/policy";
const POLICY_ARNS: &str = "iam.amazonaws.com/policy-arns";
/// On namespaces.
const DEFAULT_ROLE: &str = "iam.amazonaws.com/default-role";
/// On service accounts; that of EKS's roles for service accounts.
const EKS_ROLE: &str = "eks.amazonaws.com/role-arn";

#[cfg(test)]
mod tests;
