//! Builds a pod, namespace or ServiceAccount from the scanned fields and annotations.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::record::{Record, TOO_LONG};
use super::scan::{Field, ObjectScope, Progress, Scanner};
use super::{
    AnnotationKeys, Namespace, Object, Pod, Resource, ResourceVersion, ServiceAccount, SessionAnnotations, Unreadable,
};

/// Parses one object and its version.
pub fn object(json: &str, resource: Resource, keys: &AnnotationKeys) -> Result<(Object, ResourceVersion), Unreadable> {
    let mut scanner = Scanner::new(ObjectScope::Object, &wanted(resource, keys));
    let pushed = scanner.push(json.as_bytes());
    let record = scanner.record();
    match pushed {
        Ok(Progress::Whole(end)) if json[end..].trim().is_empty() => {
            read(record, resource).map_err(|why| record.unreadable(resource, &why))
        }
        Ok(_) => Err(record.unreadable(resource, "it ends too early or too late")),
        Err(why) => Err(record.unreadable(resource, &why)),
    }
}

/// The annotations to keep for this resource, in the order that [`read`] expects.
pub(super) fn wanted(resource: Resource, keys: &AnnotationKeys) -> Vec<&str> {
    match resource {
        Resource::Pods => vec![&keys.role, &keys.external_id, V2_ANNOTATION, SESSION_NAME, POLICY, POLICY_ARNS],
        Resource::Namespaces => vec![&keys.allowed_roles, DEFAULT_ROLE, V2_ANNOTATION],
        Resource::ServiceAccounts => vec![&keys.role, EKS_ROLE],
    }
}

/// Builds an object and its version from the scanned values. The error says what is wrong.
pub(super) fn read(record: &Record, resource: Resource) -> Result<(Object, ResourceVersion), String> {
    record.check()?;
    let object = match resource {
        Resource::Pods => Object::Pod(pod(record)?),
        Resource::Namespaces => Object::Namespace(namespace(record)?),
        Resource::ServiceAccounts => Object::ServiceAccount(service_account(record)?),
    };
    Ok((object, record.required(Field::Version)?))
}

fn pod(record: &Record) -> Result<Pod, String> {
    let [role, external_id, v2, name, policy, policy_arns] = record.annotations()?;
    let [name, policy, policy_arns] =
        [name, policy, policy_arns].map(|value| value.map(|value| bounded(value, LONGEST_OF_SESSION).into_boxed_str()));
    let session = SessionAnnotations { name, policy, policy_arns };
    Ok(Pod {
        uid: record.required(Field::Uid)?,
        namespace: record.required(Field::Namespace)?,
        name: record.required(Field::Name)?,
        service_account: record.text(Field::ServiceAccount)?,
        addresses: addresses(record)?,
        finished: matches!(&*record.text(Field::Phase)?, "Succeeded" | "Failed"),
        host_network: record.read(Field::HostNetwork)?.unwrap_or_default(),
        deleting: record.read::<IgnoredAny>(Field::Deletion)?.is_some(),
        role: role.map(|role| bounded(role, LONGEST_ROLE)),
        external_id: external_id.map(|id| bounded(id, LONGEST_EXTERNAL_ID)),
        session: (session != SessionAnnotations::default()).then(|| Box::new(session)),
        v2_required: says_required(v2.as_deref()),
    })
}

fn namespace(record: &Record) -> Result<Namespace, String> {
    let [allowed_roles, default_role, v2] = record.annotations()?;
    Ok(Namespace {
        uid: record.required(Field::Uid)?,
        name: record.required(Field::Name)?,
        allowed_roles,
        default_role: default_role.map(|role| bounded(role, LONGEST_ROLE)),
        v2_required: says_required(v2.as_deref()),
    })
}

fn service_account(record: &Record) -> Result<ServiceAccount, String> {
    let [role, eks_role] = record.annotations()?;
    let role = [role, eks_role].into_iter().flatten().find(|role| !role.is_empty());
    Ok(ServiceAccount {
        uid: record.required(Field::Uid)?,
        namespace: record.required(Field::Namespace)?,
        name: record.required(Field::Name)?,
        role: role.map(|role| bounded(role, LONGEST_ROLE)),
    })
}

/// Replaces a value that exceeds its limit by [`TOO_LONG`].
fn bounded(value: String, longest: usize) -> String {
    if value.len() > longest { TOO_LONG.to_owned() } else { value }
}

/// Compares leniently, so that a sloppy spelling doesn't disable the requirement.
fn says_required(annotation: Option<&str>) -> bool {
    annotation.is_some_and(|value| value.trim().eq_ignore_ascii_case("required"))
}

/// The addresses in `podIPs` (which repeats `podIP` as its first), else `podIP`.
fn addresses(record: &Record) -> Result<Vec<IpAddr>, String> {
    let several: Option<Vec<PodIpJson<'_>>> = record.read(Field::Addresses)?;
    let mut addresses = Vec::new();
    for address in several.iter().flatten().filter_map(|entry| address(&entry.ip)) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        addresses.extend(address(&record.text(Field::Address)?));
    }
    Ok(addresses)
}

#[derive(Deserialize)]
struct PodIpJson<'a> {
    #[serde(borrow, default)]
    ip: Cow<'a, str>,
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Limit of a role ARN in characters (AWS STS API reference, AssumeRole).
const LONGEST_ROLE: usize = 2_048;
/// Limit of an external ID in characters (same page).
const LONGEST_EXTERNAL_ID: usize = 1_224;
/// Limit of a session annotation in bytes; ten policy ARNs take 20 KiB.
const LONGEST_OF_SESSION: usize = 32 * 1_024;
/// On pods and namespaces.
const V2_ANNOTATION: &str = "iam.amazonaws.com/imds-v2";
/// On pods; the first is kiam's.
pub const SESSION_NAME: &str = "iam.amazonaws.com/session-name";
const POLICY: &str = "iam.amazonaws.com/policy";
const POLICY_ARNS: &str = "iam.amazonaws.com/policy-arns";
/// On namespaces.
const DEFAULT_ROLE: &str = "iam.amazonaws.com/default-role";
/// On ServiceAccounts, as in EKS's IAM roles for service accounts.
const EKS_ROLE: &str = "eks.amazonaws.com/role-arn";

#[cfg(test)]
pub(super) mod tests;
