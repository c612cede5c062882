use super::*;

fn name(text: &str) -> InterfacePattern {
    InterfacePattern::Name(text.to_owned())
}

fn prefix(text: &str) -> InterfacePattern {
    InterfacePattern::Prefix(text.to_owned())
}

fn check(values: &[&str], included: &[InterfacePattern], excluded: &[InterfacePattern]) {
    let expected = InterfaceRule::Named { included: included.to_vec(), excluded: excluded.to_vec() };
    assert_eq!(InterfaceRule::parse(values), Ok(expected), "{values:?}");
}

#[test]
fn values_are_split_at_commas_and_repeated() {
    check(&["docker0"], &[name("docker0")], &[]);
    check(&["cali+,eni+", "cni0"], &[name("cni0"), prefix("cali"), prefix("eni")], &[]);
    check(&["!eth0"], &[], &[name("eth0")]);
    check(&["! eth0", "cali+"], &[prefix("cali")], &[name("eth0")]);
    check(&["+"], &[], &[]);
    check(&["cni0", "+,!eth+"], &[], &[prefix("eth")]);
    check(&["cni0,cni0"], &[name("cni0")], &[]);
}

#[test]
fn no_interface_means_automatic() {
    for values in [&[][..], &[""], &[" , "]] {
        assert_eq!(InterfaceRule::parse(values), Ok(InterfaceRule::Automatic), "{values:?}");
    }
}

#[test]
fn invalid_interface_names_are_refused() {
    for word in ["a-name-beyond-15", "e th", "eth/0", "eth:0", "eth\"0", "eth*", "a+b", "!!eth0", "schön"] {
        let refused = InterfaceRule::parse(&[word]);
        assert!(matches!(refused, Err(InterfaceRuleError::NotAName(_))), "{word}: {refused:?}");
    }
    assert_eq!(InterfaceRule::parse(&["!+"]), Err(InterfaceRuleError::ExcludesAll));
    assert!(InterfaceRule::parse(&["exactly15bytes_"]).is_ok());
}

#[test]
fn an_invalid_interface_rule_names_the_word() {
    let name = InterfaceRuleError::NotAName("a b".into()).to_string();
    assert!(name.contains("`a b`") && InterfaceRuleError::ExcludesAll.to_string().contains("`!+`"));
}

#[test]
fn more_names_than_a_rule_can_compare_are_refused_in_one_line() {
    let many = |count: usize| (0..count).map(|number| format!("eth{number}")).collect::<Vec<_>>();
    assert!(InterfaceRule::parse(&many(INCLUDED_MAX)).is_ok());
    let refused = InterfaceRule::parse(&many(INCLUDED_MAX + 1)).unwrap_err().to_string();
    assert!(refused.contains("61 names, at most 60") && refused.lines().count() == 1, "{refused}");
    let excluded: Vec<String> = many(100).iter().map(|name| format!("!{name}")).collect();
    assert!(InterfaceRule::parse(&excluded).is_ok(), "each exception has a rule of its own");
    let all = [many(100), vec!["+".to_owned()]].concat();
    assert!(InterfaceRule::parse(&all).is_ok(), "no name counts beside all");
}
