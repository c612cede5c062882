use super::*;
use crate::config::subcommands::OwnFlag;

const FLAGS: &[OwnFlag] = &[
    OwnFlag { name: "role", value: Some("NAME"), meaning: "a role" },
    OwnFlag { name: "json", value: None, meaning: "print one JSON object" },
];
static DOCTOR: Subcommand = command(Positional::AgentFlags);
static EXPLAIN: Subcommand = command(Positional::One);
static STATUS: Subcommand = command(Positional::Nothing);
static MANIFESTS: Subcommand = command(Positional::AgentFlagsAfterDashes);

const fn command(takes: Positional) -> Subcommand {
    Subcommand { word: "word", arguments: "THING", meaning: "do it", flags: FLAGS, takes }
}

fn read(command: &'static Subcommand, words: &[&str]) -> Result<WordsAsked, String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    read_words(command, &words).map_err(|error| error.to_string())
}

fn run(command: &'static Subcommand, words: &[&str]) -> Words {
    match read(command, words) {
        Ok(WordsAsked::Run(words)) => words,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn own_flags_are_taken_out_in_every_form() {
    let words = run(&DOCTOR, &["--node=n", "--role=a", "--role", "b=c", "--debug", "--json", "x"]);
    assert_eq!(words.values("role").collect::<Vec<_>>(), ["a", "b=c"]);
    assert_eq!((words.value("role"), words.is_on("json")), (Some("b=c"), true));
    assert_eq!(words.rest, ["--node=n", "--debug", "x"]);
    assert!(!run(&STATUS, &["--json", "--json=false"]).is_on("json"));
    assert_eq!(run(&EXPLAIN, &["shop/web-1", "--json"]).rest, ["shop/web-1"]);
    let words = run(&MANIFESTS, &["--role=a", "--", "--role=b", "--help", "--", "x"]);
    assert_eq!(
        (words.value("role"), words.rest.clone()),
        (Some("a"), ["--role=b", "--help", "--", "x"].map(str::to_owned).into())
    );
}

#[test]
fn wrong_words_are_one_line() {
    for (command, words, text) in [
        (&EXPLAIN, &[][..], "failed to read `word`: it needs THING; `kube2iam word --help` shows how"),
        (&EXPLAIN, &["a", "b"], "failed to read `word`: one word too many; `kube2iam word --help` shows how"),
        (&STATUS, &["s3cret"], "failed to read `word`: one word too many; `kube2iam word --help` shows how"),
        (&STATUS, &["--jsno"], "failed to read `--jsno`: no such flag; did you mean `--json`?"),
        (&STATUS, &["--password=s3cret"], "failed to read `--password`: no such flag; `--help` lists what is allowed"),
        (&STATUS, &["-x"], "failed to read `-x`: no such flag; `--help` lists what is allowed"),
        (&DOCTOR, &["--role"], "failed to read `--role`: a value must follow it"),
        (&MANIFESTS, &["--debug"], "failed to read `--debug`: no such flag; `--help` lists what is allowed"),
        (&MANIFESTS, &["x", "--", "y"], "failed to read `word`: one word too many; `kube2iam word --help` shows how"),
        (&DOCTOR, &["--role="], "failed to read `--role`: a value must follow it"),
    ] {
        assert_eq!(read(command, words), Err(text.to_owned()), "{words:?}");
    }
    assert!(read(&STATUS, &["--json=perhaps"]).unwrap_err().contains("true or false"));
}

#[test]
fn help_is_made_of_the_row() {
    for words in [&["-h"][..], &["--help"], &["--json", "--help"]] {
        let Ok(WordsAsked::Help(text)) = read(&DOCTOR, words) else { panic!("{words:?}") };
        assert!(text.starts_with("Usage: kube2iam word THING\n"), "{text}");
        assert!(text.contains("\n  --role=NAME\n        a role\n") && text.contains("\n  --json\n"), "{text}");
        assert!(text.contains("`kube2iam --help` lists the agent's flags"), "{text}");
    }
}
