use super::*;

#[test]
fn a_description_falls_into_its_parts() {
    let value = |value: &str| Default::Value(value.to_owned());
    let words = |words: &str| Default::Described(words.to_owned());
    let differs = |note: &str| FlagOrigin::Differs(note.to_owned());
    for (text, meaning, default, origin) in [
        ("a thing", "a thing", Default::Nothing, FlagOrigin::Kube2iam),
        ("a thing. New.", "a thing", Default::Nothing, FlagOrigin::New),
        ("a thing. Default: 1.2.3.4", "a thing", value("1.2.3.4"), FlagOrigin::Kube2iam),
        ("a thing. Unset: no, never. New.", "a thing", words("no, never"), FlagOrigin::New),
        ("a, b. Default: {{x}}. Differs: c. d", "a, b", value("{x}"), differs("c. d")),
    ] {
        let read = Description::read(text);
        assert_eq!((read.meaning.as_str(), read.default, read.origin), (meaning, default, origin), "{text}");
    }
}

#[test]
fn a_flag_is_required_by_argh_exactly_if_it_has_a_default() {
    for group in FlagValues::groups() {
        for flag in group.flags.iter().filter(|flag| flag.kind != FlagInfoKind::Switch) {
            let preset = matches!(row(group.description, flag).default, Default::Value(_));
            assert_eq!(flag.optionality == Optionality::Required, preset, "{}", flag.long);
        }
    }
}

#[test]
fn no_flag_stands_twice() {
    let mut names: Vec<&str> = flags().iter().map(|flag| flag.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
