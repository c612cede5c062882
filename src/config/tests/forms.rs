//! The forms that pflag takes.

use proptest::prelude::*;

use super::{POD, config, config_in, parse_in};
use crate::config::{Command, UsageError};
use crate::logic::redirect::interfaces::InterfaceRule;

fn debug(args: &[&str]) -> bool {
    config(args).listen.debug_store
}

#[test]
fn values_follow_by_sign_or_by_word() {
    for args in [["--app-port=9", "--verbose"].as_slice(), &["--app-port", "9"], &["--app-port", "8", "--app-port=9"]] {
        assert_eq!(config(args).listen.app.port, 9, "{args:?}");
    }
}

#[test]
fn a_value_may_be_empty_hold_signs_or_look_like_a_flag() {
    assert_eq!(config(&["--node="]).kubernetes.node, None);
    assert_eq!(config(&["--metadata-deny=^a=b$"]).metadata.denied[0].as_str(), "^a=b$");
    assert_eq!(config(&["--metadata-deny", "--verbose"]).metadata.denied[0].as_str(), "--verbose");
    assert_eq!(config(&["--metadata-deny", "--"]).metadata.denied[0].as_str(), "--");
    assert_eq!(config(&["--metadata-deny", "help"]).metadata.denied[0].as_str(), "help");
}

/// kube2iam makes no difference between an empty value and none, where none is its default.
#[test]
fn an_empty_value_is_none_where_there_is_no_default() {
    let empty = ["kubeconfig", "api-server", "api-token", "node", "base-role-arn", "default-role", "metrics-port"];
    let more = ["allowed-accounts", "metadata-allow", "host-interface", "host-ip", "host-ip6", "bind-address"];
    let last = ["assume-role-arn", "cluster-name", "metrics-bind-address", "state-dir", "remove-taint"];
    let words: Vec<String> = [&empty[..], &more, &last].concat().iter().map(|name| format!("--{name}=")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(format!("{:?}", config(&words)), format!("{:?}", config(&[])));
}

#[test]
fn booleans_are_read_as_go_reads_them() {
    assert!(debug(&["--debug"]));
    for on in ["1", "t", "T", "true", "TRUE", "True"] {
        assert!(debug(&[&format!("--debug={on}")]), "{on}");
    }
    for off in ["0", "f", "F", "false", "FALSE", "False"] {
        assert!(!debug(&["--debug", &format!("--debug={off}")]), "{off}");
    }
    for wrong in ["", "yes", "on", "tRUE", "2"] {
        let error = parse_in(POD, &[&format!("--debug={wrong}")]).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid value `{wrong}` for `--debug`: allowed is true or false"));
    }
}

#[test]
fn a_boolean_never_takes_the_next_word() {
    let config = config(&["--debug", "false", "--app-port=9"]);
    assert!(config.listen.debug_store);
    assert_eq!(config.listen.app.port, 9);
    let warning = "ignoring a word after `--debug`: it belongs to no flag (a boolean is written `--flag=false`)";
    assert_eq!(config.warnings, [warning]);
}

#[test]
fn booleans_that_are_on_can_be_turned_off() {
    let prefetch = |args: &[&str]| config(&[&["--node=n"], args].concat()).sts.prefetch;
    assert!(prefetch(&[]));
    assert!(prefetch(&["--prefetch"]));
    assert!(!prefetch(&["--prefetch=false"]));
    assert!(!prefetch(&["--prefetch", "--prefetch=0"]));
    assert!(prefetch(&["--prefetch=f", "--prefetch"]));
}

#[test]
fn the_last_one_wins_and_lists_add_up() {
    assert!(debug(&["--debug=false", "--debug"]));
    let config = config(&[
        "--log-level=nonsense",
        "--iptables",
        "--host-interface=a,b",
        "--log-level=warn",
        "--host-interface=c",
    ]);
    assert_eq!(config.log.level, log::LevelFilter::Warn);
    assert_eq!(Ok(config.redirect.unwrap().spec.interfaces), InterfaceRule::parse(&["a", "b", "c"]));
}

#[test]
fn stray_words_are_ignored_and_never_repeated() {
    let config = config(&["s3cret", "--debug", "-", "--", "--app-port=9", "s3cret"]);
    assert!(config.listen.debug_store);
    assert_eq!(config.listen.app.port, 8181);
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
    assert!(!config.warnings.concat().contains("s3cret"));
}

#[test]
fn help_and_version_are_answered_before_anything_is_judged() {
    for args in [["--help"].as_slice(), &["-h"], &["--debug", "--help", "--nonsense"], &["--app-port=x", "-h"]] {
        assert!(matches!(parse_in(&[], args), Ok(Command::Help(text)) if text.contains("--app-port")), "{args:?}");
    }
    let version = |args: &[&str]| matches!(parse_in(&[], args), Ok(Command::Version(line)) if !line.contains('\n'));
    assert!(version(&["--version"]));
    assert!(version(&["--app-port=x", "--version=true"]));
    assert!(!version(&["--version=false"]));
    assert!(parse_in(POD, &["--nonsense", "--help"]).is_err());
}

#[test]
fn the_version_is_one_line_in_kube2iams_words() {
    let Ok(Command::Version(line)) = parse_in(&[], &["--version"]) else { panic!("no version") };
    let [version, commit, date] = line.split(" - ").collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(version, concat!("Version: ", env!("CARGO_PKG_VERSION")));
    assert!(commit.starts_with("Commit: ") && date.starts_with("Date: "), "{line}");
}

#[test]
fn a_usage_error_exits_with_64() {
    assert_eq!(UsageError::EXIT_CODE, 64);
}

#[test]
fn empty_variables_count_as_unset() {
    let environment = [&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")], POD].concat();
    assert_eq!(config_in(&environment, &[]).metadata.own.to_string(), "169.254.169.254:80");
}

proptest! {
    /// Words near to flags, whole and broken, with values of every kind.
    #[test]
    fn no_command_line_makes_it_panic(words in prop::collection::vec(WORD, 0..6)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(error) = parse_in(POD, &words) {
            let text = error.to_string();
            let names_it = text.starts_with("failed to ") || text.starts_with("invalid value ");
            prop_assert!(names_it && !text.contains('\n'), "{}", text);
        }
    }
}

const WORD: &str = r"(-|--|---)?(app-port|host-ip|debug|x)?[=: ]?(\PC{0,8}|[0-9.hms]{0,9})";
