use super::*;
use crate::config::{self, Command, SocketSetting};

fn run_words(words: &[&str]) -> (Option<Ended>, String) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut output = Vec::new();
    let ended = run(&words, &|_| None, &mut output);
    (ended, String::from_utf8(output).unwrap())
}

#[test]
fn words_without_a_command_are_the_agents() {
    for words in [&["--node=n"][..], &[], &["explains"], &["--help"]] {
        assert_eq!(run_words(words).0, None, "{words:?}");
    }
}

#[test]
fn every_command_has_its_own_help() {
    for command in config::SUBCOMMANDS.each_ref().map(|command| command.word) {
        for words in [[command, "--help"], [command, "-h"], ["help", command]] {
            let (ended, text) = run_words(&words);
            let Some(ended) = ended else { continue }; // `redirect` has its own parser
            assert_eq!(ended, Ended { code: 0, error: None }, "{words:?}");
            assert!(text.contains(&format!("Usage: kube2iam {command}")), "{text}");
        }
    }
}

#[test]
fn help_version_and_completion_succeed() {
    for (words, part) in [
        (&["help"][..], "Usage: kube2iam [flags]"),
        (&["version"], "Version: "),
        (&["completion", "bash"], "complete -F _kube2iam kube2iam"),
        (&["completion", "zsh"], "#compdef kube2iam"),
        (&["completion", "fish"], "complete -c kube2iam"),
    ] {
        let (ended, text) = run_words(words);
        assert_eq!(ended, Some(Ended { code: 0, error: None }), "{words:?}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn usage_errors_exit_with_64_and_one_line() {
    for (words, part) in [
        (&["explain"][..], "it needs NAMESPACE/POD | ADDRESS"),
        (&["explain", "web-1"], "invalid value `web-1` for the subject: allowed is NAMESPACE/POD or an address"),
        (&["explain", "a/b", "--jsno"], "--jsno"),
        (&["status", "now"], "one word too many"),
        (&["completion"], "bash, zsh or fish must follow it"),
        (&["completion", "bsh"], "did you mean `bash`?"),
        (&["completion", "powershell", "x"], "bash, zsh or fish must follow it"),
        (&["help", "s3cret"], "no such command"),
        (&["log-level", "loud"], "invalid value `loud` for the level: allowed is panic, fatal, error, warn"),
        (&["status", "--socket"], "--socket"),
        (&["doctor", "--rol=x", "--node=n"], "no such flag"),
        (&["doctor", "--role"], "a value must follow it"),
        (&["compare", "--node=n"], "it needs --theirs=URL"),
        (&["compare", "--theirs=kube2iam"], "invalid value `kube2iam` for `--theirs`: allowed is http://HOST[:PORT]"),
    ] {
        let (ended, _) = run_words(words);
        let Some(Ended { code: 64, error: Some(error) }) = ended else { panic!("{words:?}: {ended:?}") };
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn the_default_socket_is_the_agents() {
    let words = ["--api-server=http://127.0.0.1:1", "--api-token=t"].map(str::to_owned);
    let Ok(Command::Run(config)) = config::parse(words.into_iter(), &|_| None) else { panic!("no configuration") };
    assert_eq!(config.operation.control_socket, SocketSetting::Preset(socket::CONTROL_SOCKET.into()));
    let (ended, _) = run_words(&["explain", "a/b", "--socket=/nowhere/s"]);
    let Some(Ended { code: 1, error: Some(error) }) = ended else { panic!("{ended:?}") };
    assert!(error.starts_with("failed to ask the agent at `/nowhere/s`"), "{error}");
}
