//! What the instance knows of itself: documents by path, directories made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::super::exchange::wall_now;
use super::NODE_CANARY;

/// All documents below a version (`latest`, `2021-03-23`, ...), which all see the same tree.
pub struct Tree {
    documents: BTreeMap<String, Document>,
    pub lifetime: Duration,
}

/// What is found at the end of a path.
#[derive(Clone)]
pub enum Document {
    Text(String),
    /// Temporary credentials, dated when they are read; the word tells them apart.
    Credentials(&'static str),
}

pub enum Entry {
    Document(String),
    Listing(Vec<String>),
}

impl Tree {
    pub fn of_instance() -> Self {
        let mut tree = Self { documents: BTreeMap::new(), lifetime: Duration::from_secs(6 * 3600) };
        for (path, body) in PLAIN {
            tree.put(path, Document::Text((*body).to_owned()));
        }
        tree.put("dynamic/instance-identity/document", Document::Text(identity_document()));
        for proof in ["signature", "pkcs7", "rsa2048"] {
            let body = format!("{NODE_CANARY}-{proof}");
            tree.put(&format!("dynamic/instance-identity/{proof}"), Document::Text(body));
        }
        tree.put("user-data", Document::Text(format!("#!/bin/sh\nBOOTSTRAP_TOKEN={NODE_CANARY}-user-data\n")));
        tree.put(
            "meta-data/identity-credentials/ec2/info",
            Document::Text(json!({"Code": "Success", "AccountId": "123456789012"}).to_string()),
        );
        tree.put(
            "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
            Document::Credentials("identity"),
        );
        tree.set_role(Some("node-role"));
        tree
    }

    pub fn put(&mut self, path: &str, document: Document) {
        self.documents.insert(path.trim_matches('/').to_owned(), document);
    }

    pub fn remove(&mut self, path: &str) {
        let path = path.trim_matches('/');
        let below = format!("{path}/");
        self.documents.retain(|known, _| known != path && !known.starts_with(&below));
    }

    pub fn set_role(&mut self, role: Option<&str>) {
        self.remove("meta-data/iam");
        let Some(role) = role else { return };
        let info = json!({
            "Code": "Success", "LastUpdated": wall_now().rfc3339(), "InstanceProfileId": "AIPASTANDIN0000000001",
            "InstanceProfileArn": format!("arn:aws:iam::123456789012:instance-profile/{role}"),
        });
        self.put("meta-data/iam/info", Document::Text(format!("{info:#}")));
        self.put(&format!("meta-data/iam/security-credentials/{role}"), Document::Credentials("role"));
        self.put(&format!("meta-data/iam/security-credentials-extended/{role}"), Document::Credentials("extended"));
    }

    /// What is at a canonical (lower-case) path such as `/latest/meta-data`.
    pub fn find(&self, path: &str) -> Option<Entry> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Some(Entry::Listing(VERSIONS.map(str::to_owned).to_vec()));
        }
        let (version, rest) = path.split_once('/').unwrap_or((path, ""));
        if !VERSIONS.contains(&version) {
            return None;
        }
        let exact = self.documents.iter().find(|(known, _)| known.eq_ignore_ascii_case(rest));
        if let Some((_, document)) = exact {
            return Some(Entry::Document(self.render(document)));
        }
        let names = self.names_below(rest);
        (!names.is_empty()).then(|| Entry::Listing(names.into_iter().collect()))
    }

    /// The entries of a directory, sub-directories with a slash; the real service leaves it out below a version.
    fn names_below(&self, directory: &str) -> BTreeSet<String> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let below = self
            .documents
            .keys()
            .filter(|known| known.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(&prefix)));
        below
            .map(|known| match known[prefix.len()..].split_once('/') {
                Some((name, _)) if directory.is_empty() => name.to_owned(),
                Some((name, _)) => format!("{name}/"),
                None => known[prefix.len()..].to_owned(),
            })
            .collect()
    }

    fn render(&self, document: &Document) -> String {
        match document {
            Document::Text(text) => text.clone(),
            Document::Credentials(word) => {
                let now = wall_now();
                format!(
                    "{{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"{}\",\n  \"Type\" : \"AWS-HMAC\",\n  \
                     \"AccessKeyId\" : \"ASIASTANDINNODE00001\",\n  \"SecretAccessKey\" : \"{NODE_CANARY}-{word}-secret\",\n  \
                     \"Token\" : \"{NODE_CANARY}-{word}-token\",\n  \"Expiration\" : \"{}\"\n}}",
                    now.rfc3339(),
                    now.after(self.lifetime).rfc3339()
                )
            }
        }
    }
}

fn identity_document() -> String {
    let document = json!({
        "accountId": "123456789012", "architecture": "x86_64", "availabilityZone": "eu-west-1b",
        "billingProducts": null, "devpayProductCodes": null, "marketplaceProductCodes": null,
        "imageId": "ami-0123456789abcdef0", "instanceId": "i-1234567890abcdef0", "instanceType": "m5.large",
        "kernelId": null, "pendingTime": "2026-01-01T00:00:00Z", "privateIp": "192.0.2.10", "ramdiskId": null,
        "region": "eu-west-1", "version": "2017-09-30",
    });
    format!("{document:#}")
}

const PLAIN: &[(&str, &str)] = &[
    ("meta-data/ami-id", "ami-0123456789abcdef0"),
    ("meta-data/hostname", "ip-192-0-2-10.eu-west-1.compute.internal"),
    ("meta-data/instance-id", "i-1234567890abcdef0"),
    ("meta-data/instance-type", "m5.large"),
    ("meta-data/local-hostname", "ip-192-0-2-10.eu-west-1.compute.internal"),
    ("meta-data/local-ipv4", "192.0.2.10"),
    ("meta-data/mac", "02:00:00:00:00:01"),
    ("meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id", "vpc-0123456789abcdef0"),
    ("meta-data/placement/availability-zone", "eu-west-1b"),
    ("meta-data/placement/region", "eu-west-1"),
    ("meta-data/services/domain", "amazonaws.com"),
    ("meta-data/services/partition", "aws"),
    ("meta-data/tags/instance/Name", "node-1"),
    ("meta-data/tags/instance/team", "platform"),
    ("dynamic/fws/instance-monitoring", "disabled"),
];

/// What the listing of `/` shows, oldest and newest among them.
const VERSIONS: [&str; 5] = ["1.0", "2009-04-04", "2016-09-02", "2021-03-23", "latest"];
