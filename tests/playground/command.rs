//! What can be typed into the playground: kubectl's words for an annotation, and an outage of STS.

use crate::cluster::{NAMESPACES, PODS, Pod};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    AnnotatePod { pod: usize, key: String, value: String },
    AnnotateNamespace { namespace: &'static str, key: String, value: String },
    StopSts,
    StartSts,
    Quit,
}

impl Command {
    pub const USAGE: &str = "  kubectl annotate pod curious -n shop --overwrite iam.amazonaws.com/role=cart-7
  sts off      STS is down: who has credentials keeps them
  sts on       and is back
  quit         or Ctrl-C: ends all of it";

    pub fn parse(line: &str) -> Result<Self, String> {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["sts", "off"] => Ok(Self::StopSts),
            ["sts", "on"] => Ok(Self::StartSts),
            ["quit" | "exit"] => Ok(Self::Quit),
            ["kubectl", "annotate", kind, ref rest @ ..] => annotate(kind, rest),
            _ => Err(format!("These are the commands here:\n{}", Self::USAGE)),
        }
    }
}

fn annotate(kind: &str, rest: &[&str]) -> Result<Command, String> {
    let (mut namespace, mut plain) = ("default", Vec::new());
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-n" | "--namespace" => namespace = rest.next().copied().unwrap_or_default(),
            "--overwrite" => {}
            word => match word.strip_prefix("--namespace=").or_else(|| word.strip_prefix("-n")) {
                Some(given) => namespace = given,
                None => plain.push(word),
            },
        }
    }
    let [name, annotation] = plain[..] else { return Err(ANNOTATE.to_owned()) };
    let (key, value) = annotation.split_once('=').ok_or(ANNOTATE)?;
    let (key, value) = (key.to_owned(), value.to_owned());
    match kind {
        "pod" | "pods" | "po" => {
            let is_meant = |pod: &&Pod| pod.namespace == namespace && pod.name == name;
            let pod = PODS.iter().position(is_meant);
            let pod = pod.ok_or_else(|| format!("There is no pod `{name}` in namespace `{namespace}`."))?;
            Ok(Command::AnnotatePod { pod, key, value })
        }
        "namespace" | "namespaces" | "ns" => {
            let known = NAMESPACES.iter().find(|(known, _)| *known == name);
            let (namespace, _) = known.ok_or_else(|| format!("There is no namespace `{name}`."))?;
            Ok(Command::AnnotateNamespace { namespace, key, value })
        }
        _ => Err(ANNOTATE.to_owned()),
    }
}

/// The words of a line as a shell would part them, as far as quotes go.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.trim().chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

const ANNOTATE: &str = "kubectl annotate pod NAME -n NAMESPACE KEY=VALUE, or kubectl annotate namespace NAME KEY=VALUE";
