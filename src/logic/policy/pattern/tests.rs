use super::list::{LONGEST_LIST, MOST_ENTRIES, MOST_EXPRESSIONS};
use super::*;

const BASE: &str = "arn:aws:iam::123456789012:role/";

fn check(format: Format, annotation: &str, role: &str) -> Option<String> {
    let base = BaseArn::parse(BASE).unwrap();
    let list = RoleList::parse(annotation, format);
    list.first_match(&base.role(role).unwrap(), &base).map(|index| list.entry(index.into()).to_owned())
}

#[test]
fn globs_match_as_in_kube2iam() {
    for (pattern, text, matches) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "a/b", true),
        ("a*", "a/b", true),
        ("*b", "a/b", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("a**c", "abc", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("A*", "a", false),
        ("a?c", "abc", false),
        ("*ab*ab", "abab", true),
        ("*ab*ab", "ab", false),
        ("a", "ab", false),
    ] {
        assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
    }
}

#[test]
fn names_get_the_base_and_arns_do_not() {
    assert_eq!(check(Format::Glob, r#"["app"]"#, "app").as_deref(), Some("app"));
    assert_eq!(check(Format::Glob, r#"["app"]"#, "app-admin"), None);
    assert_eq!(check(Format::Glob, r#"["x", "team/*"]"#, "team/a/b").as_deref(), Some("team/*"));
    assert_eq!(
        check(Format::Glob, r#"["arn:aws:iam::*:role/b"]"#, "arn:aws:iam::210987654321:role/b").as_deref(),
        Some("arn:aws:iam::*:role/b")
    );
    assert_eq!(check(Format::Glob, r#"["*"]"#, "arn:aws:iam::210987654321:role/b"), None);
}

#[test]
fn anchored_expressions_match_the_whole_arn() {
    for (annotation, role, allowed) in [
        (r#"["app"]"#, "app", true),
        (r#"["app"]"#, "app-admin", false),
        (r#"["app|x"]"#, "app", true),
        (r#"["app|x"]"#, "app-admin", false),
        (r#"["a|x"]"#, "b/x", false),
        (r#"["^app$"]"#, "app", true),
        (r#"["^arn:aws:iam::123456789012:role/app.*"]"#, "app-1", true),
        ("app-.*", "app-1", true),
        ("^arn:aws:iam::123456789012:role/app-.*$", "app-1", true),
        (".*", "arn:aws:iam::210987654321:role/b", false),
        (r#"["arn:.*"]"#, "arn:aws:iam::210987654321:role/b", true),
    ] {
        assert_eq!(check(Format::Regexp, annotation, role).is_some(), allowed, "{annotation} {role}");
    }
}

#[test]
fn unanchored_expressions_match_as_in_kube2iam() {
    assert!(check(Format::RegexpUnanchored, r#"["app"]"#, "app-admin").is_some());
    assert!(check(Format::RegexpUnanchored, r#"["^arn:aws:iam::123456789012:role/app"]"#, "app").is_none());
}

#[test]
fn unreadable_lists_and_entries_allow_nothing_and_are_reported() {
    let base = BaseArn::parse(BASE).unwrap();
    for (format, annotation) in [
        (Format::Glob, "app"),
        (Format::Glob, r#"{"a": 1}"#),
        (Format::Glob, "[1]"),
        (Format::Glob, ""),
        (Format::Regexp, ""),
    ] {
        assert!(check(format, annotation, "app").is_none(), "{annotation}");
        let fault = RoleList::parse(annotation, format).fault().unwrap().to_string();
        assert!(fault.starts_with("the list is not a JSON array of strings"), "{fault}");
    }
    for entry in ["(", "a)|(?:.*"] {
        let fault = Matcher::compile(entry, Format::Regexp, &base).unwrap_err().to_string();
        assert!(fault.starts_with(&format!("the pattern `{entry}` allows nothing")), "{fault}");
    }
    assert_eq!(check(Format::Regexp, r#"["(", "app"]"#, "app").as_deref(), Some("app"));
}

#[test]
fn a_slash_before_an_entry_is_dropped_as_before_a_role() {
    assert_eq!(check(Format::Glob, r#"["/team/*"]"#, "/team/app").as_deref(), Some("/team/*"));
    assert_eq!(check(Format::Regexp, r#"["/team/.*"]"#, "/team/app").as_deref(), Some("/team/.*"));
    assert_eq!(check(Format::Glob, r#"["//team/*"]"#, "team/app"), None);
}

#[test]
fn the_longest_plain_expression_compiles_after_a_long_base() {
    let base = BaseArn::parse(&format!("{BASE}{}", "b".repeat(500))).unwrap();
    let longest = "x".repeat(LONGEST_PATTERN);
    assert!(Matcher::compile(&longest, Format::Regexp, &base).is_ok());
    assert!(Matcher::compile(&format!("{longest}x"), Format::Regexp, &base).is_err());
}

/// Each limit exactly, and one beyond it.
#[test]
fn lists_beyond_their_limits_allow_nothing_and_report_a_fault() {
    let array = |count: usize, entry: &str| format!("[{}\"app\"]", format!("\"{entry}\",").repeat(count));
    let sized = |bytes: usize| format!("[\"app\"{}]", " ".repeat(bytes - "[\"app\"]".len()));
    let letters = |count: usize| array(count, &"x".repeat(509)); // 3 more with `app`
    for (format, list, allowed) in [
        (Format::Glob, array(MOST_ENTRIES - 1, "x"), true),
        (Format::Glob, array(MOST_ENTRIES, "x"), false),
        (Format::Glob, sized(LONGEST_LIST), true),
        (Format::Glob, sized(LONGEST_LIST + 1), false),
        (Format::Regexp, array(MOST_EXPRESSIONS - 1, "x"), true),
        (Format::Regexp, array(MOST_EXPRESSIONS, "x"), false),
        (Format::RegexpUnanchored, array(MOST_EXPRESSIONS, "x"), false),
        (Format::Regexp, letters(16), true),
        (Format::Regexp, letters(17), false),
        (Format::Regexp, r#"["(((a{50}){50}){50})|app"]"#.to_owned(), false),
    ] {
        let shown = format!("{format:?} {} {}", list.len(), &list[..20]);
        assert_eq!(check(format, &list, "app").is_some(), allowed, "{shown}");
        let whole = RoleList::parse(&list, format);
        assert!(allowed || whole.fault().is_some() || whole.len() == 1, "{shown}");
    }
}

#[test]
fn a_list_of_expressions_is_read_up_to_its_greatest_length() {
    for (more, fits) in [("", true), (",\"x\"", false)] {
        let entries = vec![format!("\"{}\"", "x".repeat(512)); 16].join(",");
        let list = RoleList::parse(&format!("[{entries}{more}]"), Format::Regexp);
        assert_eq!(list.fault().is_none(), fits, "{more}");
    }
}
