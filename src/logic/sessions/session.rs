//! The parameters of a role's session: its name, duration, tags, external ID and session policies.

mod annotations;
mod served;

use crate::logic::cluster::world::HeldPod;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::sts::{AssumeRole, TokenSubject};
pub use annotations::SessionOptions;
pub use served::Session;

/// How AssumeRole calls are built from pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// The requested duration in seconds, 900..=43200
    pub duration_s: u32,
    pub name: NameTemplate,
    pub name_annotation: NameAnnotation,
    /// `--node`; empty when the whole cluster is watched
    pub node: String,
    pub tags: Tags,
    pub bearing: CallsBear,
}

/// What authenticates calls for pods' sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallsBear {
    /// A signature with the node's credentials
    NodeSignature,
    /// The pod's ServiceAccount token
    PodToken,
}

/// Whether the pods' annotation `iam.amazonaws.com/session-name` is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAnnotation {
    /// Tenants don't control the name that CloudTrail and trust policies see.
    Ignored,
    /// The annotation names the session, as with kiam.
    Read,
}

/// Whether sessions carry the tags of EKS Pod Identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    None,
    Pod {
        /// The value of `eks-cluster-name`; without it the tag is omitted
        cluster: Option<String>,
        reach: TagReach,
    },
}

/// Whether tags persist through role chaining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagReach {
    Session,
    Chain,
}

impl SessionRules {
    /// The call for `role` on behalf of `pod`. Pods with equal calls share a session. An invalid session annotation
    /// is refused with its reason.
    pub fn request(&self, role: &RoleArn, pod: &HeldPod) -> Result<AssumeRole, Reason> {
        let SessionOptions { external_id, name, policy, policy_arns } = match pod.session() {
            Some(options) => options.clone()?,
            None => SessionOptions::default(),
        };
        if external_id.is_some() && self.bearing == CallsBear::PodToken {
            return Err(Reason::ExternalIdUnsupported);
        }
        let name = name.filter(|_| self.name_annotation == NameAnnotation::Read);
        let tags = self.tags_of(pod);
        let chained = matches!(self.tags, Tags::Pod { reach: TagReach::Chain, .. });
        let transitive_tags = tags.iter().filter(|_| chained).map(|(key, _)| key.clone()).collect();
        Ok(AssumeRole {
            role: role.clone(),
            session_name: name.map_or_else(|| self.name.fill(|word| self.word(word, role, pod)), String::from),
            external_id: external_id.map(String::from),
            duration_s: self.duration_s,
            policy,
            policy_arns,
            tags,
            transitive_tags,
            subject: self.subject_of(pod),
        })
    }

    /// Sessions obtained with a token belong to its ServiceAccount only.
    fn subject_of(&self, pod: &HeldPod) -> Option<TokenSubject> {
        (self.bearing == CallsBear::PodToken)
            .then(|| TokenSubject { namespace: pod.namespace.clone(), service_account: pod.service_account.clone() })
    }

    /// Whether the pod's session name is ignored.
    pub fn ignores_name_of(&self, pod: &HeldPod) -> bool {
        self.name_annotation == NameAnnotation::Ignored && own_name(pod).is_some()
    }

    /// The call for a role that the agent assumes itself before it assumes pods' roles.
    pub fn hop(&self, role: &RoleArn) -> AssumeRole {
        let node = if self.node.is_empty() { NO_NODE } else { &self.node };
        AssumeRole {
            role: role.clone(),
            session_name: clean(format!("{node}-{}", role.name())),
            external_id: None,
            duration_s: HOP_S,
            policy: None,
            policy_arns: Vec::new(),
            tags: Vec::new(),
            transitive_tags: Vec::new(),
            subject: None,
        }
    }

    fn word<'a>(&'a self, word: Word, role: &'a RoleArn, pod: &'a HeldPod) -> &'a str {
        match word {
            Word::Namespace => &pod.namespace,
            Word::Pod => &pod.name,
            Word::Node if self.node.is_empty() => NO_NODE,
            Word::Node => &self.node,
            Word::Role => role.name(),
            Word::ServiceAccount => &pod.service_account,
            Word::Uid => &pod.uid,
        }
    }

    /// The tags of EKS Pod Identity, so that policies on them carry over.
    fn tags_of(&self, pod: &HeldPod) -> Vec<(String, String)> {
        let Tags::Pod { cluster, .. } = &self.tags else { return Vec::new() };
        [
            ("kubernetes-namespace", &*pod.namespace),
            ("kubernetes-service-account", &*pod.service_account),
            ("kubernetes-pod-name", &*pod.name),
            ("kubernetes-pod-uid", &*pod.uid),
            ("eks-cluster-name", cluster.as_deref().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }
}

/// The session name in a pod's annotation; an empty one counts as none.
fn own_name(pod: &HeldPod) -> Option<&str> {
    pod.session()?.as_ref().ok()?.name.as_deref()
}

/// A session name with placeholders, such as `{node}-{role}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Word(Word),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Namespace,
    Pod,
    Node,
    Role,
    ServiceAccount,
    Uid,
}

impl NameTemplate {
    /// The same name for every pod of a role on a node, because they share the session.
    pub const DEFAULT: &'static str = "{node}-{role}";

    /// Parses a template; the error names the invalid part.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or("a `{` without its `}`")? + open;
            pieces.push(Piece::Text(rest[..open].to_owned()));
            pieces.push(Piece::Word(word(&rest[open + 1..close])?));
            rest = &rest[close + 1..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if text.is_empty() { Err("an empty name".into()) } else { Ok(Self(pieces)) }
    }

    /// Fills in the placeholders, replaces characters that STS doesn't allow with `-`, and truncates to its 64
    /// characters.
    fn fill<'a>(&self, value: impl Fn(Word) -> &'a str) -> String {
        let mut name = String::with_capacity(USUAL_NAME);
        for piece in &self.0 {
            name.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Word(word) => value(*word),
            });
        }
        clean(name)
    }
}

/// `text` as STS accepts it for a name. Nearly all are fine as they are.
fn clean(text: String) -> String {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-');
    if (SHORTEST_NAME..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(known) {
        return text;
    }
    let clean = |c: char| if u8::try_from(c).is_ok_and(known) { c } else { '-' };
    let mut name: String = text.chars().take(LONGEST_NAME).map(clean).collect();
    while name.len() < SHORTEST_NAME {
        name.push('-');
    }
    name
}

fn word(name: &str) -> Result<Word, String> {
    Ok(match name {
        "namespace" => Word::Namespace,
        "pod" => Word::Pod,
        "node" => Word::Node,
        "role" => Word::Role,
        "service_account" => Word::ServiceAccount,
        "uid" => Word::Uid,
        _ => {
            return Err(format!(
                "`{{{}}}`; known are {{namespace}} {{pod}} {{node}} {{role}} {{service_account}} {{uid}}",
                name.escape_debug()
            ));
        }
    })
}

/// Replaces `{node}` if `--node` isn't given.
const NO_NODE: &str = "kube2iam";
/// One hour, the maximum for role chaining (IAM user guide, role chaining).
const HOP_S: u32 = 3_600;
/// RoleSessionName: 2 to 64 of `[\w+=,.@-]` (AWS STS API reference, AssumeRole).
const LONGEST_NAME: usize = 64;
const SHORTEST_NAME: usize = 2;
/// Capacity for nearly all names before truncation.
const USUAL_NAME: usize = 96;

#[cfg(test)]
mod tests;
