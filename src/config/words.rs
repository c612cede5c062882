//! Parses the words after a subcommand according to its row in the table: flags in pflag's syntax (`--flag=value`,
//! `--flag value`, `--switch=false`), anywhere among the positional words.

use super::help;
use super::pflag::{nearest_of, value_of};
use super::subcommands::{Positional, Subcommand};
use super::table::Takes;
use super::usage::UsageError;
use crate::logic::base::json::PrintedForm;

/// What the words after a subcommand ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordsAsked {
    /// Print this and exit with code 0.
    Help(String),
    Run(Words),
}

/// The words after a subcommand, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Each occurrence of the subcommand's own flags, with its value
    given: Vec<(&'static str, String)>,
    /// Everything else in order: positional words, or the agent's flags
    pub rest: Vec<String>,
}

impl Words {
    /// The first positional word, or an empty one.
    pub fn first(&self) -> &str {
        self.rest.first().map(String::as_str).unwrap_or_default()
    }

    /// Whether a switch is on. The last occurrence counts.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// The output format: text, or JSON with `--json`.
    pub fn form(&self) -> PrintedForm {
        if self.is_on("json") { PrintedForm::Json } else { PrintedForm::Text }
    }

    /// The value of a flag. The last occurrence counts; an empty value is none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last().filter(|value| !value.is_empty())
    }

    /// All values of a flag, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Parses the words after `command`.
pub fn read_words(command: &'static Subcommand, words: &[String]) -> Result<WordsAsked, UsageError> {
    let mut read = Words::default();
    let mut words = words.iter().cloned();
    let mut behind_dashes = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" && command.takes == Positional::AgentFlagsAfterDashes {
            behind_dashes.extend(words.by_ref());
            break;
        }
        if matches!(word.as_str(), "-h" | "--help") {
            return Ok(WordsAsked::Help(help::of_subcommand(command)));
        }
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let own = name.strip_prefix("--").and_then(|name| command.flags.iter().find(|flag| flag.name == name));
        match own {
            Some(flag) => {
                let takes = flag.value.map_or(Takes::Switch, Takes::Values);
                let value = value_of(flag.name, takes, value, &mut words)?;
                if value.is_empty() {
                    return Err(UsageError::no_value(flag.name));
                }
                read.given.push((flag.name, value));
            }
            None if command.takes != Positional::AgentFlags && word.starts_with('-') && word != "-" => {
                let near = nearest_of(name.trim_start_matches('-'), command.flags.iter().map(|flag| flag.name));
                return Err(UsageError::unknown(name, near));
            }
            None => read.rest.push(word),
        }
    }
    let (least, most) = match command.takes {
        Positional::Nothing | Positional::AgentFlagsAfterDashes => (0, 0),
        Positional::AtMostOne => (0, 1),
        Positional::One => (1, 1),
        Positional::Actions(actions) => match read.first() {
            word if actions.contains(&word) => (1, 1),
            other => {
                let near = nearest_of(other, actions.iter().copied()).filter(|_| !other.is_empty());
                return Err(UsageError::no_action(command.word, actions, near));
            }
        },
        Positional::AgentFlags => (0, usize::MAX),
    };
    match read.rest.len() {
        count if count < least => Err(UsageError::missing_word(command.word, command.arguments)),
        count if count > most => Err(UsageError::stray_word(command.word)),
        _ => {
            read.rest.append(&mut behind_dashes);
            Ok(WordsAsked::Run(read))
        }
    }
}

#[cfg(test)]
mod tests {
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
            (
                &STATUS,
                &["--password=s3cret"],
                "failed to read `--password`: no such flag; `--help` lists what is allowed",
            ),
            (&STATUS, &["-x"], "failed to read `-x`: no such flag; `--help` lists what is allowed"),
            (&DOCTOR, &["--role"], "failed to read `--role`: a value must follow it"),
            (&MANIFESTS, &["--debug"], "failed to read `--debug`: no such flag; `--help` lists what is allowed"),
            (
                &MANIFESTS,
                &["x", "--", "y"],
                "failed to read `word`: one word too many; `kube2iam word --help` shows how",
            ),
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
}
