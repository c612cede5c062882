//! Completion scripts for shells, made from the table of flags and that of subcommands.

use super::redirect_command::flags_of_add;
use super::subcommands::{Positional, SUBCOMMANDS, Subcommand};
use super::table::{Flag, Takes, flags};

/// One completion at a position of the command line.
struct Choice {
    /// A word, or a flag with its dashes; a flag that needs a value ends in `=`
    word: String,
    meaning: String,
}

/// The completions after certain first words.
struct Context {
    /// Empty at the start of the command line
    after: Vec<&'static str>,
    choices: Vec<Choice>,
}

/// The completion script for a shell; `None` if the shell is unsupported.
pub fn completion(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// Every context, most specific first.
fn contexts() -> Vec<Context> {
    let mut contexts = Vec::new();
    for command in &SUBCOMMANDS {
        if let Positional::Actions(actions) = command.takes {
            let with_flags = actions.iter().filter(|action| command.word == "redirect" && **action != "remove");
            contexts.extend(with_flags.map(|action| redirect(action)));
        }
        contexts.push(Context { after: vec![command.word], choices: choices_after(command) });
    }
    let commands = SUBCOMMANDS
        .iter()
        .map(|command| Choice { word: command.word.to_owned(), meaning: first_clause(command.meaning) });
    contexts.push(Context { after: Vec::new(), choices: commands.chain(flags().iter().map(choice)).collect() });
    contexts
}

fn redirect(action: &'static str) -> Context {
    let json = [Choice { word: "--json".to_owned(), meaning: "print one JSON object".to_owned() }];
    let choices = if action == "add" { flags_of_add().iter().map(choice).collect() } else { json.into() };
    Context { after: vec!["redirect", action], choices }
}

fn choices_after(command: &Subcommand) -> Vec<Choice> {
    let word = |word: &str| Choice { word: word.to_owned(), meaning: String::new() };
    let words: Vec<Choice> = match command.takes {
        Positional::Actions(actions) => actions.iter().map(|action| word(action)).collect(),
        _ if command.word == "help" => SUBCOMMANDS.iter().map(|command| word(command.word)).collect(),
        _ => Vec::new(),
    };
    let own = command.flags.iter().map(|flag| Choice {
        word: format!("--{}{}", flag.name, if flag.value.is_some() { "=" } else { "" }),
        meaning: first_clause(flag.meaning),
    });
    let agents = if command.takes == Positional::AgentFlags { flags() } else { Vec::new() };
    let help = Choice { word: "--help".to_owned(), meaning: "print help and exit".to_owned() };
    let all = agents.iter().filter(|flag| flag.name != "help").map(choice);
    words.into_iter().chain(own).chain(all).chain([help]).collect()
}

fn choice(flag: &Flag) -> Choice {
    let value = if matches!(flag.takes, Takes::Value(_) | Takes::Values(_) | Takes::List(_)) { "=" } else { "" };
    Choice { word: format!("--{}{value}", flag.name), meaning: first_clause(&flag.meaning) }
}

fn first_clause(meaning: &str) -> String {
    meaning.split([';', ':', '(']).next().unwrap_or_default().trim().to_owned()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn bash() -> String {
    let mut script = "_kube2iam() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words\n    local line=\"\
                      ${COMP_WORDS[*]:1:COMP_CWORD-1} \"\n    # bash takes `=` for a word of its own\n    \
                      [[ $cur == = || ${COMP_WORDS[COMP_CWORD-1]} == = ]] && { COMPREPLY=($(compgen -f -- \"${cur#=}\")); \
                      return; }\n    case $line in\n"
        .to_owned();
    for Context { after, choices } in contexts() {
        let words: Vec<&str> = choices.iter().map(|choice| choice.word.as_str()).collect();
        let start = if after.is_empty() { "*".to_owned() } else { format!("{}*", quoted(&(after.join(" ") + " "))) };
        script.push_str(&format!("    {start}) words={} ;;\n", quoted(&words.join(" "))));
    }
    script.push_str(
        "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    \
         [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n    return 0\n}\ncomplete -F _kube2iam kube2iam\n",
    );
    script
}

fn zsh() -> String {
    let mut script =
        "#compdef kube2iam\n_kube2iam() {\n    local -a choices\n    local line=\"${words[2,CURRENT-1]} \"\n    case $line in\n"
            .to_owned();
    for Context { after, choices } in contexts() {
        let start = if after.is_empty() { "*".to_owned() } else { format!("{}*", quoted(&(after.join(" ") + " "))) };
        script.push_str(&format!("    ({start}) choices=(\n"));
        for Choice { word, meaning } in choices {
            script.push_str(&format!("        {}\n", quoted(&format!("{word}:{meaning}"))));
        }
        script.push_str("        ) ;;\n");
    }
    script.push_str(
        "    esac\n    _describe -o kube2iam choices -S ''\n}\nif [[ ${funcstack[1]} == _kube2iam ]]; then\n    \
         _kube2iam \"$@\"\nelse\n    compdef _kube2iam kube2iam\nfi\n",
    );
    script
}

fn fish() -> String {
    let mut script = String::new();
    for Context { after, choices } in contexts() {
        let condition = match after.as_slice() {
            [] => "__fish_use_subcommand".to_owned(),
            words => words
                .iter()
                .map(|word| format!("__fish_seen_subcommand_from {word}"))
                .collect::<Vec<_>>()
                .join("; and "),
        };
        for Choice { word, meaning } in choices {
            let what = match (word.strip_prefix("--"), word.strip_suffix('=')) {
                (Some(name), None) => format!("-l {name}"),
                (Some(name), Some(_)) => format!("-r -l {}", name.trim_end_matches('=')),
                (None, _) => format!("-a {word}"),
            };
            let meaning = if meaning.is_empty() { String::new() } else { format!(" -d {}", fish_quoted(&meaning)) };
            script.push_str(&format!("complete -c kube2iam -n {} -f {what}{meaning}\n", fish_quoted(&condition)));
        }
    }
    script
}

/// fish interprets backslashes within single quotes.
fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests;
