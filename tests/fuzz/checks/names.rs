//! Names from annotations: role ARNs, lists of patterns, what a pod asks of its session. A simple reader beside each.

use kube2iam::for_tests::{
    BaseArn, CallsBear, Event, Format, NameAnnotation, NameTemplate, Object, ParsedEvent, Pod, PodTokens, Reading,
    Resource, RoleArn, RoleList, SessionAnnotations, SessionRules, TagReach, Tags, World, glob_matches,
};
use regex_lite::Regex;

/// The first line is a role, the second a pattern, a list of them or a base; all in turn are whatever else an
/// annotation may hold.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (role, pattern) = text.split_once('\n').unwrap_or((&text, ""));
    arn(role);
    arn(pattern);
    globs(pattern, role);
    globs(role, pattern);
    for base in
        [BaseArn::parse(BASE).ok(), BaseArn::parse(pattern).ok(), Some(BaseArn::default())].into_iter().flatten()
    {
        based(role, pattern, &base);
    }
    for annotation in [role, pattern, &text] {
        session(annotation);
    }
}

fn arn(text: &str) {
    match RoleArn::parse(text) {
        Ok(role) => {
            assert!(role.as_str() == text && RoleArn::parse(role.as_str()).as_ref() == Ok(&role));
            let (partition, account, name) = (role.partition(), role.account(), role.name());
            let (front, resource) = text.split_at(text.len() - text.splitn(6, ':').last().map_or(0, str::len));
            assert_eq!(front[3..], format!(":{partition}:iam::{account}:"));
            assert!(
                front[..3].eq_ignore_ascii_case("arn") && resource.starts_with("role/") && resource.ends_with(name)
            );
            assert!(account.bytes().all(|b| b.is_ascii_digit()) && !account.is_empty() && !partition.is_empty());
            assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)));
            assert!(text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic()));
        }
        Err(error) => one_line(&error.to_string()),
    }
}

/// Tries every way to share a text out among the stars.
fn globs(pattern: &str, text: &str) {
    let (pattern_chars, text_chars): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    if pattern_chars.len() * text_chars.len() > 40_000 {
        return;
    }
    // reach[j]: the pattern so far matches the first j characters.
    let mut reach = vec![false; text_chars.len() + 1];
    reach[0] = true;
    for sign in pattern_chars {
        let before = reach.clone();
        for at in 0..reach.len() {
            let step = at > 0 && before[at - 1] && text_chars[at - 1] == sign;
            reach[at] = if sign == '*' { before[at] || at > 0 && reach[at - 1] } else { step };
        }
    }
    assert_eq!(glob_matches(pattern, text), reach[text_chars.len()], "{pattern:?} {text:?}");
}

fn based(name: &str, annotation: &str, base: &BaseArn) {
    if !base.as_str().is_empty() {
        assert!(base.as_str().ends_with('/') && BaseArn::parse(base.as_str()).as_ref() == Ok(base));
    }
    let Ok(role) = base.role(name) else { return };
    let short = base.shorten(&role);
    assert_eq!(base.role(short).as_ref(), Ok(&role), "{short:?} is told, and leads elsewhere");
    for format in [Format::Glob, Format::Regexp, Format::RegexpUnanchored] {
        let list = RoleList::parse(annotation, format);
        list.fault().into_iter().for_each(|fault| one_line(&fault.to_string()));
        if let Some(first) = list.first_match(&role, base) {
            let entry = list.entry(first.into());
            assert!(allows(entry, format, base, &role), "{format:?} {entry:?} may not allow {role}");
        }
    }
    itself_alone(&role, base);
}

/// Whether one entry allows a role, read anew. No list says more than its formats do.
fn allows(entry: &str, format: Format, base: &BaseArn, role: &RoleArn) -> bool {
    let complete = |base: &str, entry: &str| {
        let is_arn = entry.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("arn:"));
        let tail = if base.is_empty() { entry } else { entry.strip_prefix('/').unwrap_or(entry) };
        if is_arn { entry.to_owned() } else { format!("{base}{tail}") }
    };
    let matches = |expression: &str| Regex::new(expression).is_ok_and(|regex| regex.is_match(role.as_str()));
    let escaped = regex_lite::escape(base.as_str());
    match format {
        Format::Glob => glob_matches(&complete(base.as_str(), entry), role.as_str()),
        Format::RegexpUnanchored => matches(&complete(&escaped, entry)),
        Format::Regexp => {
            let bare = complete(&escaped, entry.strip_prefix('^').unwrap_or(entry));
            Regex::new(&bare).is_ok() && matches(&format!(r"\A(?:{bare})\z"))
        }
    }
}

/// A role's own name allows it and no other that begins or ends like it.
fn itself_alone(role: &RoleArn, base: &BaseArn) {
    let plain = serde_json::to_string(&[role.as_str()]).expect("strings are JSON");
    let escaped = serde_json::to_string(&[regex_lite::escape(role.as_str())]).expect("strings are JSON");
    let others = [format!("{role}x"), format!("{role}/x"), format!("{role}\u{2d}{role}")];
    for (format, annotation) in [(Format::Glob, plain), (Format::Regexp, escaped)] {
        let list = RoleList::parse(&annotation, format);
        let too_long = annotation.len() > 512 || format == Format::Glob && role.as_str().contains('*');
        assert!(too_long || list.first_match(role, base).is_some(), "{annotation} doesn't allow {role}");
        for other in others.iter().filter_map(|other| RoleArn::parse(other).ok()) {
            assert!(too_long || list.first_match(&other, base).is_none(), "{annotation} allows {other}");
        }
    }
}

/// What an annotation makes of a session is what STS takes, or the pod is refused.
fn session(annotation: &str) {
    let role = RoleArn::parse("arn:aws:iam::123456789012:role/app").expect("a role");
    for at in 0..4 {
        let given = |number: usize| (at == number).then(|| annotation.into());
        let session = SessionAnnotations { name: given(0), policy: given(1), policy_arns: given(2) };
        let world = world_of(session, (at == 3).then(|| annotation.to_owned()));
        let tags = Tags::Pod { cluster: None, reach: TagReach::Session };
        let name = NameTemplate::parse(NameTemplate::DEFAULT).expect("a template");
        let rules = SessionRules {
            duration_s: 3_600,
            name,
            name_annotation: NameAnnotation::Ignored,
            node: annotation.to_owned(),
            tags,
            bearing: CallsBear::NodeSignature,
        };
        let Ok(request) = rules.request(&role, world.pod("uid-1").expect("the pod")) else { continue };
        let known = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
        assert!((2..=64).contains(&request.session_name.len()) && known(&request.session_name, b"_+=,.@-"));
        if let Some(id) = &request.external_id {
            assert!(id == annotation && (2..=1_224).contains(&id.len()) && known(id, b"_+=,.@:/-"));
        }
        if let Some(policy) = &request.policy {
            let policy = policy.text();
            let same = [annotation, &policy].map(|json| serde_json::from_str::<serde_json::Value>(json).ok());
            assert!(policy.chars().count() <= 2_048 && policy.starts_with('{') && same[0] == same[1], "{policy}");
        }
        let arns = &request.policy_arns;
        assert!(arns.len() <= 10 && arns.iter().all(|arn| arn.starts_with("arn:") && arn.contains(":policy/")));
        assert_eq!(at == 2, !arns.is_empty(), "policies were asked for and are left out");
        assert_eq!(at == 1, request.policy.is_some(), "a policy was asked for and is left out");
    }
    if let Err(why) = NameTemplate::parse(annotation) {
        one_line(&why);
    }
}

fn world_of(session: SessionAnnotations, external_id: Option<String>) -> World {
    let pod = Pod {
        uid: "uid-1".to_owned(),
        namespace: "shop".to_owned(),
        name: "pod".to_owned(),
        service_account: "app".to_owned(),
        addresses: vec![[10, 0, 0, 1].into()],
        finished: false,
        host_network: false,
        deleting: false,
        role: Some("app".to_owned()),
        external_id,
        session: Some(Box::new(session)),
        v2_required: false,
    };
    let mut world = World::default();
    let reading =
        Reading { base: &BaseArn::parse(BASE).expect("a base"), format: Format::Glob, pod_tokens: PodTokens::Ignored };
    for event in [Event::Init, Event::InitApply(Object::Pod(pod)), Event::InitDone] {
        world.apply(Resource::Pods, ParsedEvent::new(event, reading));
    }
    world
}

fn one_line(text: &str) {
    assert!(!text.chars().any(char::is_control) && text.len() < 16 * 1_024, "{text:?}");
}

const BASE: &str = "arn:aws:iam::123456789012:role/";
