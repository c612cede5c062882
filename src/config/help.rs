//! Prints the table of flags: `--help`, and the table in `manifests/docs/flags.md`.

use super::redirect_command;
use super::subcommands::{OwnFlag, Positional, SUBCOMMANDS, Subcommand};
use super::table::{Default, Flag, FlagOrigin, Takes, flags};

/// The text of `--help`.
pub(super) fn help(flags: &[Flag]) -> String {
    let mut about = format!("{TITLE}\n\n{USAGE}\n\nCommands:\n");
    for command in &SUBCOMMANDS {
        about.push_str(&format!("  {}\n", format!("{} {}", command.word, command.arguments).trim_end()));
        wrap(&mut about, command.meaning);
    }
    of(&about, flags)
}

/// The help text of the agent, or of the command `word`; `None` if there is no such command.
pub fn help_of(word: Option<&str>) -> Option<String> {
    let Some(word) = word else { return Some(help(&flags())) };
    if word == "redirect" {
        return Some(redirect_command::text());
    }
    SUBCOMMANDS.iter().find(|command| command.word == word).map(of_subcommand)
}

/// The text of a subcommand's `--help`.
pub(super) fn of_subcommand(command: &Subcommand) -> String {
    let mut text = format!("Usage: kube2iam {} {}", command.word, command.arguments).trim_end().to_owned();
    text.push_str("\n\n");
    wrap(&mut text, command.meaning);
    text.push_str("\nFlags:\n");
    let help = OwnFlag { name: "help", value: None, meaning: "print this text and exit; also -h" };
    for flag in command.flags.iter().chain([&help]) {
        let value = flag.value.map(|value| format!("={value}")).unwrap_or_default();
        text.push_str(&format!("  --{}{value}\n", flag.name));
        wrap(&mut text, flag.meaning);
    }
    if matches!(command.takes, Positional::AgentFlags | Positional::AgentFlagsAfterDashes) {
        text.push_str("\n`kube2iam --help` lists the agent's flags.\n");
    }
    text
}

/// A help text: `about`, then the flags by group.
pub(super) fn of(about: &str, flags: &[Flag]) -> String {
    let mut text = about.to_owned();
    let mut group = "";
    for flag in flags {
        if flag.group != group {
            group = flag.group;
            text.push_str(&format!("\n{group}:\n"));
        }
        text.push_str(&format!("  {}\n", usage(flag)));
        wrap(&mut text, &format!("{}{}", flag.meaning, parenthesis(flag)));
    }
    text
}

/// The flags as a Markdown table: flag, default, meaning, note.
pub fn flag_table() -> String {
    let mut text = HEADER.to_owned();
    for flag in flags() {
        let default = match &flag.default {
            Default::Value(value) => format!("`{value}`"),
            Default::Described(words) => words.clone(),
            Default::Nothing => String::new(),
        };
        let note = match &flag.origin {
            FlagOrigin::Kube2iam => String::new(),
            FlagOrigin::Differs(note) => note.clone(),
            FlagOrigin::New => "new".to_owned(),
        };
        let cells = [format!("`{}`", usage(&flag)), default, flag.meaning, note];
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    text
}

fn usage(flag: &Flag) -> String {
    match flag.takes {
        Takes::Switch => format!("--{}", flag.name),
        Takes::Bool => format!("--{}=false", flag.name),
        Takes::Value(word) | Takes::Values(word) | Takes::List(word) => format!("--{}={word}", flag.name),
    }
}

fn parenthesis(flag: &Flag) -> String {
    match (&flag.default, flag.takes) {
        (Default::Nothing, _) | (_, Takes::Switch) => String::new(),
        (Default::Value(value), _) => format!(" (default {value})"),
        (Default::Described(words), _) => format!(" (default: {words})"),
    }
}

/// Appends a paragraph, indented and wrapped.
fn wrap(text: &mut String, paragraph: &str) {
    let mut width = 0;
    for word in paragraph.split(' ') {
        let letters = word.chars().count();
        if width == 0 {
            text.push_str(INDENT);
            width = INDENT.len();
        } else if width + 1 + letters > WIDTH {
            text.push('\n');
            text.push_str(INDENT);
            width = INDENT.len();
        } else {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += letters;
    }
    text.push('\n');
}

const HEADER: &str = "| flag | default | meaning | note |\n|---|---|---|---|\n";
const TITLE: &str = "kube2iam gives every Kubernetes pod its own AWS role, and nothing else";
const USAGE: &str = "Usage: kube2iam [flags]\n       kube2iam COMMAND [--help]";
const INDENT: &str = "        ";
/// Fits a terminal of 100 columns.
const WIDTH: usize = 98;

#[cfg(test)]
mod tests;
