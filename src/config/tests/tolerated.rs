//! What is taken with a warning, or by commands that can do without it.

use super::config;
use crate::config::{Access, BaseSource, Command, parse_without_api_server};

#[test]
fn what_kube2iam_takes_without_a_word_is_taken_with_a_warning() {
    for (flag, part) in [
        ("--base-role-arn=arn:aws:iam::1234:role/", "names no account of 12 digits"),
        ("--log-format=xml", "--log-format=xml is neither text nor json"),
    ] {
        let warnings = config(&[flag]).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{flag}: {warnings:?}");
    }
    assert!(config(&["--log-format=JSON", "--base-role-arn=arn:aws:iam::123456789012:role/x/"]).warnings.is_empty());
}

#[test]
fn without_an_api_server_everything_else_is_read() {
    let words = ["--base-role-arn=arn:aws:iam::123456789012:role/"].map(str::to_owned).into_iter();
    let Ok(Command::Run(config)) = parse_without_api_server(words, &|_| None) else { panic!("no configuration") };
    assert!(matches!(config.kubernetes.access, Access::Unknown(_)));
    assert!(matches!(config.roles.base, BaseSource::Given(_)));
}
