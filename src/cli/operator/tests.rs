use super::*;
use crate::config::{self, Command, SocketSetting};

fn run_words(words: &[&str]) -> (Option<Ended>, String) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut output = Vec::new();
    let ended = run(&words, &|_| None, &mut output);
    (ended, String::from_utf8(output).unwrap())
}

#[test]
fn words_that_name_no_subcommand_are_the_agents() {
    for words in [&["--node=n"][..], &[], &["explains"], &["--help"]] {
        assert_eq!(run_words(words).0, None, "{words:?}");
    }
}

#[test]
fn every_subcommand_has_help_of_its_own() {
    for command in config::SUBCOMMANDS.each_ref().map(|command| command.word) {
        let (ended, text) = run_words(&[command, "--help"]);
        let Some(ended) = ended else { continue }; // of another room
        assert_eq!(ended, Ended { code: 0, error: None }, "{command}");
        assert!(text.starts_with(&format!("Usage: kube2iam {command}")), "{text}");
    }
}

#[test]
fn wrong_words_end_with_64_and_one_line() {
    for (words, part) in [
        (&["explain"][..], "it needs NAMESPACE/POD | ADDRESS"),
        (&["explain", "web-1"], "failed to read `web-1`: allowed is NAMESPACE/POD or an address"),
        (&["explain", "a/b", "--jsno"], "--jsno"),
        (&["status", "now"], "one word too many"),
        (&["log-level", "loud"], "failed to read `loud`: allowed is panic, fatal, error, warn"),
        (&["status", "--socket"], "--socket"),
        (&["doctor", "--rol=x", "--node=n"], "no such flag"),
        (&["doctor", "--role"], "a value must follow it"),
        (&["compare", "--node=n"], "it needs --theirs=URL"),
        (&["compare", "--theirs=kube2iam"], "failed to read `--theirs=kube2iam`: allowed is http://HOST[:PORT]"),
    ] {
        let (ended, _) = run_words(words);
        let Some(Ended { code: 64, error: Some(error) }) = ended else { panic!("{words:?}: {ended:?}") };
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn the_socket_is_looked_for_where_the_agent_opens_it() {
    let words = ["--api-server=http://127.0.0.1:1", "--api-token=t"].map(str::to_owned);
    let Ok(Command::Run(config)) = config::parse(words.into_iter(), &|_| None) else { panic!("no configuration") };
    assert_eq!(config.operation.control_socket, SocketSetting::Preset(socket::CONTROL_SOCKET.into()));
    let (ended, _) = run_words(&["explain", "a/b", "--socket=/nowhere/s"]);
    let Some(Ended { code: 1, error: Some(error) }) = ended else { panic!("{ended:?}") };
    assert!(error.starts_with("failed to ask the agent at `/nowhere/s`"), "{error}");
}
