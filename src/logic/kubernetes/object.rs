//! A pod or a namespace, from its JSON to the few fields that are kept. Everything else is skipped without being built;
//! of the annotations only the wanted ones are.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{AnnotationKeys, Namespace, Object, Pod, Resource, Version};

/// Reads one object and its version. The error says what is wrong with it.
pub fn object(json: &str, resource: Resource, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    match resource {
        Resource::Pods => pod(json, keys),
        Resource::Namespaces => namespace(json, keys),
    }
}

fn pod(json: &str, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    let PodJson { metadata, spec, status } = serde_json::from_str(json)?;
    let [role, external_id, v2] = annotations(metadata.annotations, [&keys.role, &keys.external_id, V2_ANNOTATION])?;
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
        v2_required: says_required(v2.as_deref()),
    };
    Ok((Object::Pod(pod), required(metadata.resource_version, "metadata.resourceVersion")?))
}

fn namespace(json: &str, keys: &AnnotationKeys) -> Result<(Object, Version), serde_json::Error> {
    let NamespaceJson { metadata } = serde_json::from_str(json)?;
    let [allowed_roles, v2] = annotations(metadata.annotations, [&keys.allowed_roles, V2_ANNOTATION])?;
    let namespace = Namespace {
        uid: required(metadata.uid, "metadata.uid")?,
        name: required(metadata.name, "metadata.name")?,
        allowed_roles,
        v2_required: says_required(v2.as_deref()),
    };
    Ok((Object::Namespace(namespace), required(metadata.resource_version, "metadata.resourceVersion")?))
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

/// The values of the `wanted` annotations.
fn annotations<const N: usize>(
    json: Option<&RawValue>,
    wanted: [&str; N],
) -> Result<[Option<String>; N], serde_json::Error> {
    match json {
        Some(json) => Scan(wanted).deserialize(&mut serde_json::Deserializer::from_str(json.get())),
        None => Ok([const { None }; N]),
    }
}

/// Walks an object of strings and keeps what stands under the wanted keys.
struct Scan<'w, const N: usize>([&'w str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Scan<'_, N> {
    type Value = [Option<String>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Scan<'_, N> {
    type Value = [Option<String>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        while let Some(wanted) = map.next_key_seed(Matching(self.0))? {
            if !wanted.contains(&true) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: String = map.next_value()?;
            for (slot, _) in found.iter_mut().zip(wanted).filter(|(_, wanted)| *wanted) {
                *slot = Some(value.clone());
            }
        }
        Ok(found)
    }
}

/// Which of some names a key equals; two may be configured alike.
struct Matching<'w, const N: usize>([&'w str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Matching<'_, N> {
    type Value = [bool; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Matching<'_, N> {
    type Value = [bool; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an annotation")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.map(|name| name == key))
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
struct NamespaceJson<'a> {
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

/// Stands for an annotation that nobody could use: neither the name of a role nor an external id may have such
/// characters, so that it is refused like any other wrong value.
const TOO_LONG: &str = "<too long>";
/// A role's ARN has at most so many characters (AWS STS API reference, AssumeRole).
const LONGEST_ROLE: usize = 2_048;
/// And an external id so many.
const LONGEST_EXTERNAL_ID: usize = 1_224;
/// On pods and namespaces.
const V2_ANNOTATION: &str = "iam.amazonaws.com/imds-v2";

#[cfg(test)]
mod tests;
