//! Doubtful lists of allowed roles: entries that allow more than they seem to, unreadable lists, and roles that pods
//! name and no entry allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::advice::meaning;
use crate::logic::cluster::world::{HeldPod, World};
use crate::logic::policy::arn::NamedRole;
use crate::logic::policy::pattern::shown;
use crate::logic::policy::reason::Reason;
use crate::logic::policy::{Denial, Rules, permit};

/// A likely mistake in a namespace, in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LintFinding {
    pub namespace: String,
    pub text: String,
}

/// Checks every list, and pods' annotations. The results about lists were determined when they changed.
pub fn lint(world: &World, rules: &Rules) -> BTreeSet<LintFinding> {
    let mut findings = malformed(world);
    if rules.restrictions.is_none() {
        return findings;
    }
    for (name, namespace) in world.namespaces() {
        let Some(held) = &namespace.allowed_roles else { continue };
        let whole = held.list().fault().map(ToString::to_string);
        let entries = held.findings().unwrap_or_default().iter().map(ToString::to_string);
        let texts = whole.into_iter().chain(entries);
        findings.extend(texts.map(|text| LintFinding { namespace: name.to_owned(), text }));
    }
    findings.extend(unlisted(world, rules));
    findings
}

/// Annotations that are malformed or exceed a limit. One pod per namespace is reported.
fn malformed(world: &World) -> BTreeSet<LintFinding> {
    let mut one_of_each: BTreeMap<(&Arc<str>, Reason), &Arc<HeldPod>> = BTreeMap::new();
    for pod in world.pods() {
        let role = matches!(pod.role(), Some(NamedRole::Malformed(_))).then_some(Reason::RoleMalformed);
        let session = pod.session().and_then(|session| session.as_ref().err().copied());
        for reason in role.into_iter().chain(session) {
            let one = one_of_each.entry((&pod.namespace, reason)).or_insert(pod);
            if (&pod.name, &pod.uid) < (&one.name, &one.uid) {
                *one = pod;
            }
        }
    }
    let finding = |((namespace, reason), pod): ((&Arc<str>, Reason), &Arc<HeldPod>)| {
        let text = format!("pod `{}` gets nothing ({}): {}", pod.name, reason.word(), meaning(reason));
        LintFinding { namespace: namespace.to_string(), text }
    };
    let mut findings = BTreeSet::new();
    findings.extend(one_of_each.into_iter().map(finding));
    findings
}

/// The roles that pods name and their namespace doesn't allow. One of several equal pods is reported: always the same
/// one while it exists, because another name would make a new finding.
fn unlisted(world: &World, rules: &Rules) -> Vec<LintFinding> {
    let mut one_of_each = BTreeMap::new();
    for pod in world.pods().filter(|pod| world.can_have_role(pod)) {
        let one = one_of_each
            .entry((&pod.namespace, &pod.service_account, pod.role().map(NamedRole::written)))
            .or_insert(pod);
        if (&pod.name, &pod.uid) < (&one.name, &one.uid) {
            *one = pod;
        }
    }
    let refused = one_of_each.into_values().filter(|pod| match permit(world, rules, pod) {
        Ok(permitted) => permitted.audited() == Some(Reason::RoleNotAllowed),
        Err(denial) => denial == Denial::Refused(Reason::RoleNotAllowed),
    });
    let finding = |pod: &Arc<HeldPod>| LintFinding {
        namespace: pod.namespace.to_string(),
        text: match pod.role() {
            Some(role) => format!("no entry allows `{}`, which pod `{}` names", shown(&role.written()), pod.name),
            None => format!("no entry allows the role that pod `{}` gets without naming one", pod.name),
        },
    };
    let mut findings: Vec<LintFinding> = Vec::new();
    let mut counts: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for pod in refused {
        let count = counts.entry(&pod.namespace).or_default();
        *count += 1;
        if *count <= MOST_UNLISTED {
            findings.push(finding(pod));
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > MOST_UNLISTED).map(|(namespace, count)| LintFinding {
        namespace: namespace.to_string(),
        text: format!("no entry allows {} more roles that its pods name", count - MOST_UNLISTED),
    });
    findings.extend(more);
    findings
}

/// Limit of the findings of one kind per namespace, because its pods can name any number of roles.
const MOST_UNLISTED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::cluster::kubernetes::{Event, Object, Pod, Resource};
    use crate::logic::cluster::world::tests::{apply_event, listed, namespace, pod};
    use crate::logic::policy::Enforcement;
    use crate::logic::policy::pattern::Format;
    use crate::logic::policy::tests::rules;

    /// The findings about namespace `shop` with this list, in which pods name `app`.
    fn check(format: Format, list: &str, enforcement: Enforcement) -> Vec<String> {
        let rules = Rules { restrictions: Some(format), enforcement, ..rules() };
        let mut world = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![]);
        let event = Event::Apply(Object::Namespace(namespace("shop", Some(list))));
        apply_event(&mut world, Resource::Namespaces, event, format);
        lint(&world, &rules).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn unreadable_lists_and_roles_without_an_entry_are_reported() {
        for enforcement in [Enforcement::Enforce, Enforcement::Audit] {
            let findings = check(Format::Glob, "app", enforcement);
            assert!(findings[0].starts_with("no entry allows `app`, which pod `pod-"), "{findings:?}");
            assert!(findings[1].starts_with("the list is not a JSON array of strings"), "{findings:?}");
            assert_eq!(findings.len(), 2, "one pod stands for all of its like");
        }
    }

    #[test]
    fn findings_about_roles_without_an_entry_are_limited() {
        let pods = (10..30)
            .map(|uid| Pod { role: Some(format!("app-{uid}")), ..pod(&uid.to_string(), &format!("10.0.0.{uid}")) });
        let world = listed(pods.collect(), vec![namespace("shop", Some(r#"["x"]"#))]);
        let rules = Rules { restrictions: Some(Format::Glob), ..rules() };
        let findings: Vec<String> = lint(&world, &rules).into_iter().map(|finding| finding.text).collect();
        assert_eq!(findings.len(), 9);
        assert!(findings.contains(&"no entry allows 12 more roles that its pods name".to_owned()), "{findings:?}");
    }

    /// Independent of the World's iteration order.
    #[test]
    fn the_same_pod_is_always_reported_for_equal_pods() {
        let rules = Rules { restrictions: Some(Format::Glob), ..rules() };
        let pods: Vec<Pod> = (10..60).map(|uid| pod(&uid.to_string(), &format!("10.0.0.{uid}"))).collect();
        let events = |world: &mut World| {
            let event = Event::Apply(Object::Namespace(namespace("shop", Some("[]"))));
            apply_event(world, Resource::Namespaces, event, Format::Glob);
        };
        for _ in 0..4 {
            let mut world = listed(pods.clone(), vec![]);
            events(&mut world);
            let findings: Vec<String> = lint(&world, &rules).into_iter().map(|finding| finding.text).collect();
            assert_eq!(findings, ["no entry allows `app`, which pod `pod-10` names"]);
        }
    }

    #[test]
    fn without_restrictions_there_are_no_findings() {
        let world =
            listed(vec![Pod { role: Some("x".into()), ..pod("a", "10.0.0.1") }], vec![namespace("shop", Some("x"))]);
        assert!(lint(&world, &rules()).is_empty());
    }

    /// Malformed annotations are refused whether or not namespaces restrict roles.
    #[test]
    fn malformed_annotations_are_reported_once_per_namespace() {
        let long = |uid: &str, address: &str| Pod { role: Some("x".repeat(65)), ..pod(uid, address) };
        let wide = Pod { external_id: Some("x".repeat(1_225)), ..pod("c", "10.0.0.3") };
        let world = listed(vec![long("b", "10.0.0.2"), long("a", "10.0.0.1"), wide], vec![]);
        let findings: Vec<String> = lint(&world, &rules()).into_iter().map(|finding| finding.text).collect();
        assert!(findings[0].starts_with("pod `pod-a` gets nothing (role_malformed): "), "{findings:?}");
        assert!(findings[1].starts_with("pod `pod-c` gets nothing (external_id_malformed): "), "{findings:?}");
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn findings_at_the_limit_have_no_summary() {
        let pods = (0..MOST_UNLISTED)
            .map(|uid| Pod { role: Some(format!("app-{uid}")), ..pod(&uid.to_string(), &format!("10.0.0.{uid}")) });
        let world = listed(pods.collect(), vec![namespace("shop", Some(r#"["x"]"#))]);
        let findings = lint(&world, &Rules { restrictions: Some(Format::Glob), ..rules() });
        assert!(
            findings.len() == MOST_UNLISTED && findings.iter().all(|finding| !finding.text.contains(" more roles"))
        );
    }
}
