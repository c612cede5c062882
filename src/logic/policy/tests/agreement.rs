//! For any text of a role annotation, the list, the credentials and the explanation agree.

use proptest::prelude::*;

use super::*;
use crate::logic::cluster::kubernetes::AnnotationKeys;
use crate::logic::operator::explain::{Judgement, Scene, Subject, explain};

/// Roles, parts of roles, and separators that are put between them by mistake.
fn odd_text() -> impl Strategy<Value = String> {
    let pieces = [
        "app",
        "team",
        "/",
        "//",
        ".",
        "..",
        "arn:aws:iam::123456789012:role/",
        "ARN:aws:iam::1:role/",
        "arn:",
        ":",
        " ",
        "%",
        "%2F",
        "?",
        "#",
        "\\",
        "'",
        "$(x)",
        "`",
        "é",
        "\n",
        "*",
        "+",
        "=",
        ",",
        "@",
        "-",
        "_",
        "~",
        "&",
        ";",
        "\"",
        "[",
        "{",
        "|",
        "^",
        "<",
        "\u{0}",
    ];
    let long = prop_oneof![Just("p".repeat(500)), Just("n".repeat(64)), Just("n".repeat(65))];
    let piece = prop_oneof![9 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => long];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Encoded as careful clients do, and as clients do that encode every separator.
fn encoded(name: &str, slash: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let text = |b: u8| match b {
        b'/' => slash.to_owned(),
        b if is_plain(b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    name.bytes().map(text).collect()
}

fn explained(world: &World, rules: &Rules) -> (Judgement, Option<String>, Option<String>) {
    let keys = keys();
    let name = "iam.amazonaws.com/role".to_owned();
    let annotations = AnnotationKeys { role: name.clone(), external_id: name.clone(), allowed_roles: name };
    let scene = Scene {
        world,
        rules: Some(rules),
        keys: &keys,
        tokens: TokenRequirement::Optional,
        annotations: &annotations,
        now: NOON,
        at: crate::logic::base::time::Mono::default(),
        silence: None,
        node: None,
        chosen: None,
    };
    let explanation = explain(&scene, &Subject::Pod { namespace: "shop".into(), name: "pod-a".into() }).explanation;
    (explanation.decision, explanation.role, explanation.reason)
}

fn agree(text: &str, rules: &Rules) {
    let list = namespace("shop", Some(r#"["*"]"#));
    let world = listed_below(&rules.base, vec![annotated(text)], vec![list]);
    let listed_role = check_with(&world, rules, LIST, None, Patience::Exhausted);
    let is_refused = Reason::ALL.iter().any(|reason| reason.word() == listed_role) && listed_role != text;
    let explanation = explained(&world, rules);
    if is_refused {
        assert_eq!(check_with(&world, rules, &format!("{LIST}x"), None, Patience::Exhausted), listed_role, "{text:?}");
        assert_eq!((explanation.0, explanation.2), (Judgement::Refused, Some(listed_role)), "{text:?}");
        return;
    }
    let role = rules.base.role(&listed_role).unwrap();
    assert_eq!((explanation.0, explanation.1.as_deref()), (Judgement::Allowed, Some(role.as_str())), "{text:?}");
    for slash in ["/", "%2F"] {
        let document = check(&world, rules, &format!("{LIST}{}", encoded(&listed_role, slash)));
        assert_eq!(document, format!("Plain {role}"), "{text:?} is listed as {listed_role:?}");
    }
}

fn ways() -> [Rules; 3] {
    let restricted = Rules { restrictions: Some(Format::Glob), ..rules() };
    [rules(), restricted, Rules { base: BaseArn::default(), ..rules() }]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn list_credentials_and_explanation_agree_on_any_role_text(text in odd_text()) {
        ways().iter().for_each(|rules| agree(&text, rules));
    }
}

#[test]
fn a_role_with_a_leading_slash_is_listed_served_and_explained() {
    let world = listed(vec![annotated("/kubernetes/app")], vec![]);
    assert_eq!(check(&world, &rules(), LIST), "kubernetes/app");
    let role = "arn:aws:iam::123456789012:role/kubernetes/app";
    assert_eq!(check(&world, &rules(), &format!("{LIST}kubernetes/app")), format!("Plain {role}"));
    assert_eq!(explained(&world, &rules()), (Judgement::Allowed, Some(role.into()), None));
    ways().iter().for_each(|rules| agree("/kubernetes/app", rules));
}
