use super::*;

#[test]
fn every_reason_has_a_distinct_meaning_and_a_fix() {
    let mut meanings: Vec<&str> = Reason::ALL.iter().map(|reason| meaning(*reason)).collect();
    meanings.sort_unstable();
    meanings.dedup();
    assert_eq!(meanings.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let text = mend(*reason, &AdviceNames::SAMPLE);
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    }
}

#[test]
fn advice_suggests_a_base_only_if_none_is_set() {
    let advice = |base| mend(Reason::RoleMalformed, &AdviceNames { base, ..AdviceNames::SAMPLE });
    assert!(advice(Base::Unset).ends_with("or as a name and start the agent with --base-role-arn"));
    assert!(advice(Base::Set).contains("as it stands behind the agent's base"));
    assert!(!advice(Base::Set).contains("--base-role-arn"));
    let given = BaseArn::parse("arn:aws:iam::123456789012:role/").ok();
    for (base, expected) in [(given, Base::Set), (Some(BaseArn::default()), Base::Unset), (None, Base::Unset)] {
        assert_eq!(Base::of(base.as_ref()), expected);
    }
}

#[test]
fn advice_names_the_configured_keys() {
    let listed = ["other*".to_owned()];
    let names = AdviceNames {
        list_key: "example.org/roles",
        role: "app",
        namespace: "shop",
        listed: Some(&listed),
        ..AdviceNames::SAMPLE
    };
    let text = mend(Reason::RoleNotAllowed, &names);
    assert!(
        text.contains("kubectl annotate namespace shop --overwrite 'example.org/roles=[\"other*\",\"app\"]'"),
        "{text}"
    );
}

#[test]
fn remedies_differ_as_their_reasons_do() {
    let remedies: std::collections::HashSet<String> =
        Reason::ALL.iter().map(|reason| mend(*reason, &AdviceNames::SAMPLE)).collect();
    assert!(remedies.len() * 10 >= Reason::ALL.len() * 9, "{} of {}", remedies.len(), Reason::ALL.len());
}
