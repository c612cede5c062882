//! The template of session names: `{node}-{role}` and the like.

/// A template, in its parts. The node is filled in already, since it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTemplate(Vec<TemplatePart>);

/// A piece of a session's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    Text(String),
    Role,
    Namespace,
    Pod,
    ServiceAccount,
    /// The pod's uid
    Uid,
}

impl SessionTemplate {
    /// Reads a template; `None` if a brace has no partner or there is an unknown word in braces.
    pub fn parse(text: &str, node: Option<&str>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, tail) = after.split_once('}')?;
            parts.push(literal(before)?);
            parts.push(match word {
                "node" => TemplatePart::Text(node.unwrap_or(NO_NODE).to_owned()),
                "role" => TemplatePart::Role,
                "namespace" => TemplatePart::Namespace,
                "pod" => TemplatePart::Pod,
                "service_account" => TemplatePart::ServiceAccount,
                "uid" => TemplatePart::Uid,
                _ => return None,
            });
            rest = tail;
        }
        parts.push(literal(rest)?);
        parts.retain(|part| *part != TemplatePart::Text(String::new()));
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// The pieces in order; at least one.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.0
    }
}

fn literal(text: &str) -> Option<TemplatePart> {
    (!text.contains(['{', '}'])).then(|| TemplatePart::Text(text.to_owned()))
}

/// Stands for the node where `--node` isn't given.
const NO_NODE: &str = "kube2iam";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_falls_into_its_parts() {
        let text = |text: &str| TemplatePart::Text(text.to_owned());
        for (template, node, parts) in [
            ("{node}-{role}", Some("n1"), vec![text("n1"), text("-"), TemplatePart::Role]),
            ("{node}-{role}", None, vec![text("kube2iam"), text("-"), TemplatePart::Role]),
            ("{namespace}{pod}", None, vec![TemplatePart::Namespace, TemplatePart::Pod]),
            (
                "x{service_account}.{uid}",
                None,
                vec![text("x"), TemplatePart::ServiceAccount, text("."), TemplatePart::Uid],
            ),
            ("fixed", None, vec![text("fixed")]),
        ] {
            assert_eq!(SessionTemplate::parse(template, node).unwrap().parts(), parts, "{template}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for template in ["", "{", "}", "{role", "role}", "{{role}}", "{rolle}", "{}", "{role}}"] {
            assert_eq!(SessionTemplate::parse(template, None), None, "{template}");
        }
    }
}
