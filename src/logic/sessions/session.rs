//! What the session of a role carries: its name, its length, its tags, its external id, the policies that narrow it.

mod annotations;
mod served;

use crate::logic::cluster::world::HeldPod;
use crate::logic::policy::arn::RoleArn;
use crate::logic::policy::reason::Reason;
use crate::logic::sts::{AssumeRole, TokenSubject};
pub use annotations::SessionOptions;
pub use served::Session;

/// How AssumeRole calls are made out of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Seconds to ask for, 900..=43200
    pub duration_s: u32,
    pub name: NameTemplate,
    pub name_annotation: NameAnnotation,
    /// `--node`, empty when the whole cluster is watched
    pub node: String,
    pub tags: Tags,
    pub bearing: CallsBear,
}

/// What calls for pods' sessions bear, for STS to know who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallsBear {
    /// A signature with the node's credentials
    NodeSignature,
    /// The ServiceAccount token that the pod has shown
    PodToken,
}

/// What becomes of the pods' annotation `iam.amazonaws.com/session-name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAnnotation {
    /// A tenant doesn't write the name that CloudTrail and trust policies see.
    Ignored,
    /// It names the session, as with kiam.
    Read,
}

/// Whether sessions are tagged with what EKS Pod Identity tags them with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    None,
    Pod {
        /// Value of `eks-cluster-name`; without it the tag is left out
        cluster: Option<String>,
        reach: TagReach,
    },
}

/// Whether tags last through further role changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagReach {
    Session,
    Chain,
}

impl SessionRules {
    /// The call for `role` on behalf of `pod`. Pods for which it comes out the same share a session.
    /// An annotation that can't be meant so refuses it.
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

    /// Sessions that a token gets are those of its ServiceAccount, and of no other.
    fn subject_of(&self, pod: &HeldPod) -> Option<TokenSubject> {
        (self.bearing == CallsBear::PodToken)
            .then(|| TokenSubject { namespace: pod.namespace.clone(), service_account: pod.service_account.clone() })
    }

    /// Whether the pod names its session and isn't listened to.
    pub fn ignores_name_of(&self, pod: &HeldPod) -> bool {
        self.name_annotation == NameAnnotation::Ignored && own_name(pod).is_some()
    }

    /// The call for a role that the agent itself assumes before it assumes others.
    pub fn hop(&self, role: &RoleArn) -> AssumeRole {
        let node = if self.node.is_empty() { NO_NODE } else { &self.node };
        AssumeRole {
            role: role.clone(),
            session_name: clean(&format!("{node}-{}", role.name())),
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

    /// The names are those of EKS Pod Identity, so that policies on them carry over.
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

/// The name that a pod's annotation gives its session; an empty one is none.
fn own_name(pod: &HeldPod) -> Option<&str> {
    pod.session()?.as_ref().ok()?.name.as_deref()
}

/// A session name with words to be filled in, such as `{node}-{role}`.
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
    /// The name that every pod of a role on a node shares, so that sharing a session is honest.
    pub const DEFAULT: &'static str = "{node}-{role}";

    /// Reads a template; the error names what can't be filled in.
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

    /// Fills the words in, replaces what STS doesn't take by `-` and cuts to its 64 characters.
    fn fill<'a>(&self, value: impl Fn(Word) -> &'a str) -> String {
        let mut name = String::with_capacity(USUAL_NAME);
        for piece in &self.0 {
            name.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Word(word) => value(*word),
            });
        }
        clean(&name)
    }
}

fn clean(text: &str) -> String {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-');
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

/// Stands for the node where `--node` isn't given.
const NO_NODE: &str = "kube2iam";
/// An hour, the most that a chained role may have (IAM user guide, role chaining).
const HOP_S: u32 = 3_600;
/// RoleSessionName: 2 to 64 of `[\w+=,.@-]` (AWS STS API reference, AssumeRole).
const LONGEST_NAME: usize = 64;
const SHORTEST_NAME: usize = 2;
/// Room for nearly all of them, before they are cut.
const USUAL_NAME: usize = 96;

#[cfg(test)]
mod tests;
