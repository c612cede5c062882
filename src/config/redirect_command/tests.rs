use super::*;
use crate::config::{Command, parse};
use crate::logic::redirect::RedirectSpec;

fn asked(words: &[&str]) -> Result<RedirectAsked, String> {
    parse_redirect(words.iter().map(|word| (*word).to_owned())).map_err(|error| error.to_string())
}

fn added(words: &[&str]) -> (RedirectSpec, OldRules) {
    match asked(&[&["add"], words].concat()) {
        Ok(RedirectAsked::Do(RedirectCommand::Add { spec, old_rules, credentials })) => {
            let asked = words.contains(&"--container-credentials");
            assert_eq!(credentials == CredentialsAddressing::Add, asked, "{words:?}");
            (spec, old_rules)
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn add_wants_what_an_agent_with_the_same_flags_wants() {
    let all: &[&str] = &["--host-ip=10.0.0.1", "--host-ip6", "fd00::1", "--metadata-drop=false", "--app-port=9"];
    let interfaces: &[&str] = &["--host-interface=cali+,!cali9", "--host-interface", "eni+"];
    let credentials: &[&str] = &["--container-credentials", "--app-port=9"];
    for flags in [&[], all, interfaces, credentials, &["--metadata-addr=10.9.9.9"]] {
        let agent = ["--iptables", "--api-server=http://127.0.0.1:1", "--api-token=t"].iter().chain(flags);
        let Ok(Command::Run(config)) = parse(agent.map(|word| (*word).to_owned()), &|_| None) else { panic!() };
        let spec = config.redirect.unwrap().spec;
        assert!(config.credentials_address.is_none_or(|address| address.spec == spec), "{flags:?}");
        assert_eq!(added(flags), (spec, OldRules::Name), "{flags:?}");
    }
    assert_eq!(added(&["--adopt"]), (RedirectSpec::new(8181), OldRules::Remove));
    assert_eq!(added(&["--adopt=false"]).1, OldRules::Name);
}

#[test]
fn remove_and_status_stand_alone() {
    assert_eq!(asked(&["remove"]), Ok(RedirectAsked::Do(RedirectCommand::Remove)));
    let status = |form| Ok(RedirectAsked::Do(RedirectCommand::Status(form)));
    assert_eq!(asked(&["status"]), status(PrintedForm::Text));
    assert_eq!(asked(&["status", "--json"]), status(PrintedForm::Json));
}

#[test]
fn help_is_had_everywhere_and_names_every_flag() {
    for words in [&["--help"][..], &["-h"], &["add", "--help"], &["add", "-h"], &["remove", "--help"]] {
        let Ok(RedirectAsked::Help(text)) = asked(words) else { panic!("{words:?}") };
        for flag in flags_of_add() {
            assert!(text.contains(&format!("\n  --{}", flag.name)), "{} in {text}", flag.name);
        }
    }
}

#[test]
fn what_is_wrong_is_said_without_repeating_words() {
    let which = "failed to read `redirect`: add, remove or status must follow it";
    let alone =
        "failed to read `command line`: only `redirect add` takes further words, and `redirect status` takes --json";
    for (words, text) in [
        (&[][..], which),
        (&["s3cret"], which),
        (&["statsu"], "failed to read the word after `redirect`: no such command; did you mean `status`?"),
        (&["remove", "s3cret"], alone),
        (&["status", "--app-port=9"], alone),
        (&["add", "s3cret"], "failed to read `command line`: `redirect add` takes flags only"),
        (&["add", "--adpot"], "failed to read `--adpot`: no such flag; did you mean `--adopt`?"),
        (&["add", "--iptables"], "failed to read `--iptables`: no such flag; `--help` lists what is allowed"),
        (&["add", "--app-port=0"], "invalid value `0` for `--app-port`: allowed is a port from 1 to 65535"),
        (&["add", "--host-ip"], "failed to read `--host-ip`: a value must follow it"),
    ] {
        assert_eq!(asked(words), Err(text.to_owned()), "{words:?}");
    }
}
