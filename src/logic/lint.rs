//! What is doubtful about the namespaces' lists of roles: entries that allow more than they seem to, lists that can't be
//! read, and roles that pods name and no entry allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::arn::{BaseArn, RoleArn};
use super::pattern::{Format, RoleList};
use super::policy::{Denial, Rules, permit};
use super::reason::Reason;
use super::trace::Verdict;
use super::world::{HeldPod, World};

/// A doubt about a namespace, in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    pub namespace: String,
    pub text: String,
}

/// Looks at every list and at the roles that pods name. Nothing while namespaces restrict nothing.
pub fn lint(world: &World, rules: &Rules) -> BTreeSet<Doubt> {
    let Some(format) = rules.restrictions else { return BTreeSet::new() };
    let mut doubts = BTreeSet::new();
    for (name, namespace) in world.namespaces() {
        let Some(list) = &namespace.allowed_roles else { continue };
        let texts = of_list(list, format, &rules.base);
        doubts.extend(texts.into_iter().map(|text| Doubt { namespace: name.to_owned(), text }));
    }
    doubts.extend(unlisted(world, rules));
    doubts
}

fn of_list(list: &RoleList, format: Format, base: &BaseArn) -> Vec<String> {
    let mut texts: Vec<String> = list.faults.iter().map(ToString::to_string).collect();
    let at_home = judged(list, &mut HOME_PROBES.iter().filter_map(|probe| at_home(base, probe)));
    let abroad = judged(list, &mut ABROAD.iter().filter_map(|probe| RoleArn::parse(probe).ok()));
    for ((written, own), foreign) in list.written().zip(at_home).zip(abroad) {
        let shown = written.escape_debug();
        if foreign {
            texts.push(format!("`{shown}` allows every role of every account"));
        } else if own {
            texts.push(format!("`{shown}` allows every role below the base"));
        } else if format == Format::RegexpUnanchored && !written.ends_with('$') {
            texts.push(format!("`{shown}` has no `$` at its end: it also allows whatever goes on after it"));
        } else if format == Format::RegexpUnanchored && base.as_str().is_empty() && !written.starts_with('^') {
            // with a base, the base stands before it
            texts.push(format!("`{shown}` has no `^` at its start: it also allows whatever comes before it"));
        }
    }
    texts
}

/// For each entry whether it allows all of `roles`.
fn judged(list: &RoleList, roles: &mut dyn Iterator<Item = RoleArn>) -> Vec<bool> {
    let mut all = vec![true; list.written().count()];
    for role in roles {
        for (entry, (_, verdict)) in all.iter_mut().zip(list.judge(&role)) {
            *entry &= verdict == Verdict::Allows;
        }
    }
    all
}

/// A role that nobody would list by name.
fn at_home(base: &BaseArn, probe: &str) -> Option<RoleArn> {
    let known = if base.as_str().is_empty() { BaseArn::parse(SOME_BASE).ok()? } else { base.clone() };
    known.role(probe).ok()
}

/// The roles that pods name and their namespace doesn't allow. One pod stands for all of its like: always the same one
/// while it is there, or each look would bring a doubt in other words.
fn unlisted(world: &World, rules: &Rules) -> Vec<Doubt> {
    let mut one_of_each = BTreeMap::new();
    for pod in world.pods().filter(|pod| pod.counts()) {
        let one = one_of_each.entry((&pod.namespace, &pod.service_account, &pod.role)).or_insert(pod);
        if (&pod.name, &pod.uid) < (&one.name, &one.uid) {
            *one = pod;
        }
    }
    let refused = one_of_each.into_values().filter(|pod| match permit(world, rules, pod) {
        Ok(permitted) => permitted.audited() == Some(Reason::RoleNotAllowed),
        Err(denial) => denial == Denial::Refused(Reason::RoleNotAllowed),
    });
    let doubt = |pod: &Arc<HeldPod>| Doubt {
        namespace: pod.namespace.to_string(),
        text: match pod.role.as_deref() {
            Some(role) => format!("no entry allows `{}`, which pod `{}` names", role.escape_debug(), pod.name),
            None => format!("no entry allows the role that pod `{}` gets without naming one", pod.name),
        },
    };
    refused.map(doubt).collect()
}

/// Names of no likeness; what allows them all allows everything.
const HOME_PROBES: [&str; 3] = ["kube2iam-probe-7f3a", "q9/Zx_1", "00000000"];
/// Roles of accounts and partitions that have nothing in common.
const ABROAD: [&str; 2] =
    ["arn:aws:iam::000000000000:role/kube2iam-probe-7f3a", "arn:aws-cn:iam::999999999999:role/q9/Zx_1"];
/// For patterns without a base: any account will do.
const SOME_BASE: &str = "arn:aws:iam::123456789012:role/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::kubernetes::{Event, Object, Pod, Resource};
    use crate::logic::policy::Enforcement;
    use crate::logic::policy::tests::rules;
    use crate::logic::world::tests::{listed, namespace, pod};

    /// The doubts about namespace `shop` with this list, in which pods name `app`.
    fn check(format: Format, list: &str, enforcement: Enforcement) -> Vec<String> {
        let rules = Rules { restrictions: Some(format), enforcement, ..rules() };
        let mut world = listed(vec![pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], vec![]);
        let event = Event::Apply(Object::Namespace(namespace("shop", Some(list))));
        world.apply(Resource::Namespaces, event, |list| RoleList::parse(list, format, &rules.base));
        lint(&world, &rules).into_iter().map(|doubt| doubt.text).collect()
    }

    #[test]
    fn entries_that_allow_more_than_they_seem_to_are_named() {
        for (format, list, doubts) in [
            (Format::Glob, r#"["app", "team/*"]"#, vec![]),
            (Format::Glob, r#"["*"]"#, vec!["`*` allows every role below the base"]),
            (Format::Glob, r#"["arn:*"]"#, vec!["`arn:*` allows every role of every account"]),
            (Format::Regexp, r#"["app"]"#, vec![]),
            (Format::Regexp, r#"[".*"]"#, vec!["`.*` allows every role below the base"]),
            (Format::Regexp, r#"["arn:.*"]"#, vec!["`arn:.*` allows every role of every account"]),
            (Format::RegexpUnanchored, r#"["app$"]"#, vec![]),
            (
                Format::RegexpUnanchored,
                r#"["app"]"#,
                vec!["`app` has no `$` at its end: it also allows whatever goes on after it"],
            ),
            (Format::RegexpUnanchored, r#"[""]"#, vec!["`` allows every role below the base"]),
        ] {
            assert_eq!(check(format, list, Enforcement::Enforce), doubts, "{format:?} {list}");
        }
    }

    #[test]
    fn without_a_base_both_ends_need_an_anchor() {
        let texts = |list| {
            let format = Format::RegexpUnanchored;
            let base = BaseArn::default();
            of_list(&RoleList::parse(list, format, &base), format, &base)
        };
        assert_eq!(texts(r#"["^arn:aws:iam::1:role/app$"]"#), Vec::<String>::new());
        assert_eq!(texts(r#"["app$"]"#), ["`app$` has no `^` at its start: it also allows whatever comes before it"]);
    }

    #[test]
    fn lists_that_cannot_be_read_and_roles_without_an_entry_are_named() {
        for enforcement in [Enforcement::Enforce, Enforcement::Audit] {
            let doubts = check(Format::Glob, "app", enforcement);
            assert!(doubts[0].starts_with("no entry allows `app`, which pod `pod-"), "{doubts:?}");
            assert!(doubts[1].starts_with("the list is not a JSON array of strings"), "{doubts:?}");
            assert_eq!(doubts.len(), 2, "one pod stands for all of its like");
        }
    }

    /// Whatever the order in which the picture holds them.
    #[test]
    fn the_same_pod_always_stands_for_its_like() {
        let rules = Rules { restrictions: Some(Format::Glob), ..rules() };
        let pods: Vec<Pod> = (10..60).map(|uid| pod(&uid.to_string(), &format!("10.0.0.{uid}"))).collect();
        let events = |world: &mut World| {
            let event = Event::Apply(Object::Namespace(namespace("shop", Some("[]"))));
            world.apply(Resource::Namespaces, event, |list| RoleList::parse(list, Format::Glob, &rules.base));
        };
        for _ in 0..4 {
            let mut world = listed(pods.clone(), vec![]);
            events(&mut world);
            let doubts: Vec<String> = lint(&world, &rules).into_iter().map(|doubt| doubt.text).collect();
            assert_eq!(doubts, ["no entry allows `app`, which pod `pod-10` names"]);
        }
    }

    #[test]
    fn without_restrictions_nothing_is_doubtful() {
        let world =
            listed(vec![Pod { role: Some("x".into()), ..pod("a", "10.0.0.1") }], vec![namespace("shop", Some("x"))]);
        assert!(lint(&world, &rules()).is_empty());
    }
}
