//! `kube2iam redirect add | remove | status`: the words after `redirect`.
//!
//! `add` takes some of the agent's flags with the same syntax, meaning and defaults, so that both write the same table.

use super::flags::FlagValues;
use super::pflag::{Invocation, nearest_of, pre_pass};
use super::table::{Default, Flag, FlagOrigin, Takes, flags};
use super::usage::UsageError;
use super::{help, metadata, redirect};
use crate::logic::base::json::PrintedForm;
use crate::logic::redirect::command::{CredentialsAddressing, OldRules, RedirectCommand};

/// What the words ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectAsked {
    Help(String),
    Do(RedirectCommand),
}

/// Reads the words after `redirect`.
pub fn parse_redirect(mut words: impl Iterator<Item = String>) -> Result<RedirectAsked, UsageError> {
    match words.next().as_deref() {
        Some("add") => add(&mut words),
        Some("remove") => alone(RedirectCommand::Remove, &mut words),
        Some("status") => status(&mut words),
        Some("-h" | "--help") => Ok(RedirectAsked::Help(text())),
        other => Err(UsageError::no_action(
            "redirect",
            &ACTIONS,
            other.and_then(|word| nearest_of(word, ACTIONS.into_iter())),
        )),
    }
}

fn add(words: &mut dyn Iterator<Item = String>) -> Result<RedirectAsked, UsageError> {
    let (own, all) = (flags_of_add(), flags());
    let line = match pre_pass(&own, words)? {
        Invocation::Help => return Ok(RedirectAsked::Help(text())),
        Invocation::Run(line) => line,
    };
    if !line.warnings.is_empty() {
        return Err(UsageError::command_line("`redirect add` takes flags only"));
    }
    let old_rules = if line.is_on(ADOPT) { OldRules::Remove } else { OldRules::Name };
    let line = line.for_table(&all);
    let values = FlagValues::read(&line)?;
    let metadata = metadata::redirected(&values.metadata.metadata_addr);
    let spec = redirect::spec(&values.redirect, values.listen.app_port, metadata)?;
    let credentials = match values.listen.container_credentials {
        true => CredentialsAddressing::Add,
        false => CredentialsAddressing::Leave,
    };
    Ok(RedirectAsked::Do(RedirectCommand::Add { spec, old_rules, credentials }))
}

/// A command that takes no argument but `--help`.
fn alone(command: RedirectCommand, words: &mut dyn Iterator<Item = String>) -> Result<RedirectAsked, UsageError> {
    let mut asked = RedirectAsked::Do(command);
    for word in words {
        match word.as_str() {
            "-h" | "--help" => asked = RedirectAsked::Help(text()),
            _ => {
                return Err(UsageError::command_line(
                    "only `redirect add` takes further words, and `redirect status` takes --json",
                ));
            }
        }
    }
    Ok(asked)
}

fn status(words: &mut dyn Iterator<Item = String>) -> Result<RedirectAsked, UsageError> {
    let mut form = PrintedForm::Text;
    let rest: Vec<String> = words
        .filter(|word| {
            if word == "--json" {
                form = PrintedForm::Json;
                false
            } else {
                true
            }
        })
        .collect();
    alone(RedirectCommand::Status(form), &mut rest.into_iter())
}

pub(super) fn flags_of_add() -> Vec<Flag> {
    let adopt = Flag {
        name: ADOPT,
        group: GROUP,
        takes: Takes::Switch,
        meaning: "delete the rules that the original kube2iam left in iptables-nft, once the table stands; for iptables-legacy \
                  the line that does it is printed".to_owned(),
        default: Default::Value("false".to_owned()),
        origin: FlagOrigin::New,
    };
    let shared = flags().into_iter().filter(|flag| SHARED.contains(&flag.name));
    shared.map(|flag| Flag { group: GROUP, ..flag }).chain([adopt]).collect()
}

pub(super) fn text() -> String {
    help::of(ABOUT, &flags_of_add())
}

const ACTIONS: [&str; 3] = ["add", "remove", "status"];
const ADOPT: &str = "adopt";
const SHARED: [&str; 8] = [
    "metadata-addr",
    "app-port",
    "container-credentials",
    "host-interface",
    "host-ip",
    "host-ip6",
    "metadata-drop",
    "help",
];
const GROUP: &str = "Flags of add, which mean what they mean to the agent";
const ABOUT: &str = "\
Sends pods' metadata requests to the agent, by an nftables table of its own that outlives the agent.
With --container-credentials also sets up 169.254.170.2: its link, and the rules that keep its packets

Usage: kube2iam redirect add [flags]   writes the table, if it isn't as wanted
       kube2iam redirect remove        deletes it: pods then reach the node's own credentials; and 169.254.170.2
       kube2iam redirect status        shows it with its counters, 169.254.170.2, and what the original kube2iam left
                                       in iptables; with --json as one JSON object

Exit codes: 0 done, and with status: the table is whole and 169.254.170.2, if set up, is in place; 1 it is not, or the
kernel refused; 64 wrong usage; 77 the capability NET_ADMIN is missing
";

#[cfg(test)]
mod tests;
