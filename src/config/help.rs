//! The table of flags for readers: `--help`.

use super::table::{Default, Flag, Takes};

/// The text of `--help`.
pub(super) fn help(flags: &[Flag]) -> String {
    let mut text = format!("{TITLE}\n\nUsage: kube2iam [flags]\n");
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

fn usage(flag: &Flag) -> String {
    match flag.takes {
        Takes::Switch => format!("--{}", flag.name),
        Takes::Bool => format!("--{}=false", flag.name),
        Takes::Value(word) | Takes::Values(word) => format!("--{}={word}", flag.name),
    }
}

fn parenthesis(flag: &Flag) -> String {
    match (&flag.default, flag.takes) {
        (Default::Nothing, _) | (_, Takes::Switch) => String::new(),
        (Default::Value(value), _) => format!(" (default {value})"),
        (Default::Described(words), _) => format!(" (default: {words})"),
    }
}

/// Adds a paragraph, indented and broken into lines.
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

const TITLE: &str = "kube2iam gives every Kubernetes pod its own AWS role, and nothing else";
const INDENT: &str = "        ";
/// Fits a terminal of 100 columns.
const WIDTH: usize = 98;

#[cfg(test)]
mod tests {
    use super::super::table::flags;
    use super::*;

    #[test]
    fn help_names_every_flag_once_in_lines_that_fit() {
        let text = help(&flags());
        for flag in flags() {
            let line = format!("  {}\n", usage(&flag));
            assert_eq!(text.matches(&line).count(), 1, "{line}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn help_says_defaults_and_hides_notes() {
        let text = help(&flags());
        assert!(
            text.contains("  --app-port=port\n        port that pods' requests are redirected to (default 8181)\n")
        );
        assert!(text.contains("(default {node}-{role})"));
        assert!(text.contains("(default: the app port)"));
        assert!(!text.contains("Differs") && !text.contains("New.") && !text.contains("(default false)"));
    }
}
