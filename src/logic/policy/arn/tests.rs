use super::*;

#[test]
fn other_texts_than_role_arns_are_rejected() {
    for (text, fits) in [
        ("arn:aws:iam::123456789012:role/app", true),
        ("ARN:aws:iam::123456789012:role/app", true),
        ("arn:aws-us-gov:iam::123456789012:role/team/app+x=1,2.3@-_", true),
        ("arn:aws:iam::123456789012:role/", false),
        ("arn:aws:iam::123456789012:role/app/", false),
        ("arn:aws:iam::123456789012:user/app", false),
        ("arn:aws:sts::123456789012:assumed-role/app/x", false),
        ("arn:aws:iam:eu-west-1:123456789012:role/app", false),
        ("arn:aws:iam:::role/app", false),
        ("arn::iam::123456789012:role/app", false),
        ("arn:aws:iam::12345678901x:role/app", false),
        ("arn:aws:iam::123456789012:role/a b", false),
        ("arn:aws:iam::123456789012:role/a%b/c", false),
        ("arn:aws:iam::123456789012:role/a\\b/c", false),
        ("arn:aws:iam::123456789012:role/app\n", false),
        ("arn:aws:iam::123456789012:role/äpp", false),
        ("app", false),
        ("", false),
    ] {
        assert_eq!(RoleArn::parse(text).is_ok(), fits, "{text}");
    }
}

#[test]
fn parts_of_a_role_arn() {
    let role = RoleArn::parse("arn:aws-cn:iam::123456789012:role/team/app").unwrap();
    assert_eq!((role.partition(), role.account(), role.name()), ("aws-cn", "123456789012", "app"));
}

#[test]
fn the_base_is_prepended_to_names_and_stripped_again() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role").unwrap();
    assert_eq!(base.as_str(), "arn:aws:iam::123456789012:role/");
    for (name, arn, short) in [
        ("app", "arn:aws:iam::123456789012:role/app", "app"),
        ("team/app", "arn:aws:iam::123456789012:role/team/app", "team/app"),
        ("arn:aws:iam::210987654321:role/b", "arn:aws:iam::210987654321:role/b", "arn:aws:iam::210987654321:role/b"),
        ("arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:role/app", "app"),
    ] {
        let role = base.role(name).unwrap();
        assert_eq!((role.as_str(), base.shorten(&role)), (arn, short));
    }
}

#[test]
fn the_short_form_of_a_role_resolves_to_it() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap();
    for name in ["app", "arn/app", "arn:x/app", "ARN:aws:iam::1:role/app"] {
        let role = RoleArn::parse(&format!("{}{name}", base.as_str())).unwrap();
        assert_eq!(base.role(base.shorten(&role)), Ok(role));
    }
}

#[test]
fn a_name_with_the_base_parses_like_the_full_arn() {
    let pieces = ["", "a", "/", ":", "Z_+=,.@-9", " ", "é", "(", "arn:", ".", ".."];
    for base in ["arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:role/team/", ""] {
        let base = if base.is_empty() { BaseArn::default() } else { BaseArn::parse(base).unwrap() };
        let check = |name: &str| {
            let whole = RoleArn::parse(&base.complete(base.relative(name))).ok();
            let whole = if name.starts_with("/arn:") && !base.as_str().is_empty() { None } else { Some(whole) };
            assert!(whole.is_none_or(|whole| base.role(name).ok() == whole), "{name}");
        };
        for number in 0..pieces.len().pow(4) {
            let digits = (0..4).map(|place| number / pieces.len().pow(place) % pieces.len());
            check(&digits.map(|digit| pieces[digit]).collect::<String>());
        }
        for length in 0..=8 {
            check(&"x".repeat(LONGEST_NAME - 4 + length));
            check(&format!("{}/name", "p".repeat(LONGEST_PATH - 10 + length)));
        }
    }
}

#[test]
fn empty_and_dot_segments_are_no_path() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap();
    for name in ["a//b", "//a", "./a", "../a", "a/./b", "a/../b", "a/", "/", "", ".", "..", "a/.", "a/.."] {
        assert!(base.role(name).is_err(), "{name}");
        assert!(RoleArn::parse(&format!("{}{name}", base.as_str())).is_err(), "{name}");
    }
    assert!(base.role(".../..a/a..").is_ok());
}

#[test]
fn paths_and_names_have_the_limits_of_iam() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role/team").unwrap();
    let role = |path: usize, name: usize| format!("{}/{}", "p".repeat(path - "/team//".len()), "n".repeat(name));
    for (path, name, fits) in [(512, 64, true), (513, 64, false), (512, 65, false)] {
        let name = role(path, name);
        assert_eq!(base.role(&name).is_ok(), fits, "{name}");
        assert_eq!(RoleArn::parse(&base.complete(&name)).is_ok(), fits, "{name}");
    }
    let account = |digits: usize| format!("arn:aws:iam::{}:role/app", "1".repeat(digits));
    assert!(RoleArn::parse(&account(32)).is_ok() && RoleArn::parse(&account(33)).is_err());
}

#[test]
fn a_slash_before_path_and_name_is_dropped() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role/").unwrap();
    for (written, short) in [("/app", "app"), ("/kubernetes/app", "kubernetes/app")] {
        let role = base.role(written).unwrap();
        assert_eq!(base.shorten(&role), short);
        assert!(base.names(written, &role) && base.names(short, &role));
    }
    assert!(BaseArn::default().role("/app").is_err());
    assert!(base.role("arn:aws:iam::123456789012:role//app").is_err());
}

#[test]
fn wrong_bases_are_refused() {
    for text in [
        "",
        "app",
        "arn:aws:iam::x:role/",
        "arn:aws:iam::123456789012:user/",
        "ARN:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/a b",
    ] {
        assert!(BaseArn::parse(text).is_err(), "{text}");
    }
    assert!(BaseArn::parse("arn:aws:iam::123456789012:role/team.a/b_c").is_ok());
}

#[test]
fn without_a_base_only_arns_are_roles() {
    assert!(BaseArn::default().role("app").is_err());
    let role = BaseArn::default().role("arn:aws:iam::123456789012:role/app").unwrap();
    assert_eq!(BaseArn::default().shorten(&role), role.as_str());
}

#[test]
fn an_account_is_read_from_a_base_and_is_empty_without_one() {
    let base = BaseArn::parse("arn:aws:iam::123456789012:role/team").unwrap();
    assert_eq!([base.account(), BaseArn::default().account()], ["123456789012", ""]);
}

#[test]
fn a_text_that_is_no_role_arn_is_shown_on_one_line_and_cut() {
    let shown = |text: &str| RoleArn::parse(text).unwrap_err().to_string();
    let form = "is not a role ARN (arn:PARTITION:iam::ACCOUNT:role/NAME)";
    assert_eq!(shown("a\nb"), format!("`a\\nb` {form}"));
    assert_eq!(shown(&"x".repeat(2_000)), format!("`{}` {form}", "x".repeat(SHOWN)));
}

#[test]
fn a_set_of_roles_is_searched_by_text() {
    let text = "arn:aws:iam::123456789012:role/app";
    let roles = std::collections::HashSet::from([RoleArn::parse(text).unwrap()]);
    assert!(roles.contains(text) && !roles.contains("arn:aws:iam::123456789012:role/web"));
}
