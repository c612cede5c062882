//! `--sts`, and what goes with it.

use super::{POD, config, refusal_in};
use crate::config::sts::SessionLife;
use crate::logic::sessions::cache::RenewAt;
use crate::logic::sessions::session::CallsBear;

const BY_TOKEN: [&str; 2] = ["--sts=web-identity", "--container-credentials"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    BY_TOKEN.iter().chain(args).copied().collect()
}

#[test]
fn calls_are_signed_unless_they_bear_tokens() {
    for (args, bearing) in [
        (vec![], CallsBear::NodeSignature),
        (vec!["--sts=assume-role"], CallsBear::NodeSignature),
        (vec!["--sts=Web-Identity", "--container-credentials"], CallsBear::PodToken),
    ] {
        assert_eq!(config(&args).sts.bearing, bearing, "{args:?}");
    }
}

#[test]
fn what_no_token_carries_is_refused_in_one_line() {
    for (args, refusal) in [
        (vec!["--sts=saml"], "invalid value `saml` for `--sts`: allowed is assume-role or web-identity"),
        (
            vec!["--sts=web-identity"],
            "failed to use `--sts=web-identity`: allowed only with --container-credentials, by which pods show their \
             tokens",
        ),
        (
            with(&["--assume-role-arn=arn:aws:iam::123456789012:role/hop"]),
            "failed to use `--sts=web-identity`: not allowed with --assume-role-arn: its calls assume no role first",
        ),
        (
            with(&["--session-tags"]),
            "failed to use `--sts=web-identity`: not allowed with --session-tags: its calls carry no tags",
        ),
        (
            with(&["--transitive-tags"]),
            "failed to use `--sts=web-identity`: not allowed with --transitive-tags: its calls carry no tags",
        ),
    ] {
        assert_eq!(refusal_in(POD, &args), refusal, "{args:?}");
    }
    assert_eq!(config(&with(&["--assume-role-arn="])).sts.assume_first, None);
}

#[test]
fn nothing_is_prefetched_by_token_and_only_who_asked_for_it_is_told() {
    let quiet = config(&with(&["--node=n1"]));
    assert_eq!((quiet.sts.prefetch, quiet.warnings.len()), (false, 0));
    let asked = config(&with(&["--node=n1", "--prefetch"]));
    assert!(!asked.sts.prefetch);
    let warning = "--prefetch has no effect with --sts=web-identity, which takes a token that a pod shows";
    assert_eq!(asked.warnings, [warning]);
    assert!(config(&with(&["--node=n1", "--prefetch=false"])).warnings.is_empty());
}

/// The calls are not chained: a role's own maximum is what bounds them.
#[test]
fn a_long_session_is_no_warning_by_token() {
    let long = config(&with(&["--iam-role-session-ttl=6h"]));
    let renew = RenewAt::Age(std::time::Duration::from_secs(21_600));
    assert_eq!(long.sts.life, SessionLife { asked_s: 43_200, renew });
    assert!(long.warnings.is_empty(), "{:?}", long.warnings);
    assert_eq!(config(&["--iam-role-session-ttl=6h"]).warnings.len(), 1);
}
