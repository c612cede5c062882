//! Runs `kube2iam redirect add | remove | status`; the caller prints.

use std::net::Ipv4Addr;

use crate::logic::base::json::{self, PrintedForm};
use crate::logic::redirect::RedirectSpec;
use crate::logic::redirect::address::ADDRESS;
pub use crate::logic::redirect::command::{CredentialsAddressing, OldRules, RedirectCommand};
use crate::logic::redirect::guard::GUARD_TABLE;
use crate::logic::redirect::status::{RedirectStatus, TableState};

use super::address::{self, CredentialsAddress};
use super::{Ensured, Redirect, RedirectError, Removed, adopt, legacy_hint, old_rules_left, remove, status};

/// Text to print, and the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub exit_code: u8,
    /// For standard output, including line ends.
    pub output: String,
    /// For standard error.
    pub errors: String,
}

/// The redirect is not whole, or a rule couldn't be removed.
const EXIT_NOT_WHOLE: u8 = 1;

/// Runs a command.
pub fn run(command: &RedirectCommand) -> Printed {
    let done = match command {
        RedirectCommand::Add { spec, old_rules, credentials } => add(spec, *old_rules, *credentials),
        RedirectCommand::Remove => remove_all(),
        RedirectCommand::Status(form) => status().map(|status| {
            let exit_code = if is_whole(&status) { 0 } else { EXIT_NOT_WHOLE };
            let output = match form {
                PrintedForm::Text => status.text(),
                PrintedForm::Json => {
                    json::text(&status.json())
                        + "
"
                }
            };
            Printed { exit_code, output, errors: String::new() }
        }),
    };
    done.unwrap_or_else(|error| failed(&error))
}

/// An address that was never set up doesn't count as missing.
fn is_whole(status: &RedirectStatus) -> bool {
    let address = &status.credentials;
    matches!(status.wholeness(), TableState::Whole(_)) && (address.is_absent() || address.in_place().is_ok())
}

/// Removes the address first: the rules that protect tokens must stay while pods can still send them there.
fn remove_all() -> Result<Printed, RedirectError> {
    let address = address::remove();
    let mut output = format!("{}\n", remove()?);
    if address? == Removed::Deleted {
        output.push_str(&format!("{ADDRESS} and table inet {GUARD_TABLE} are removed\n"));
    }
    Ok(Printed { output, ..Printed::default() })
}

fn add(spec: &RedirectSpec, old_rules: OldRules, credentials: CredentialsAddressing) -> Result<Printed, RedirectError> {
    let ensured = Redirect::open(spec.clone())?.ensure()?;
    let mut printed = placed(&ensured);
    if credentials == CredentialsAddressing::Add {
        add_address(spec, &mut printed)?;
    }
    match old_rules {
        OldRules::Name => name_old_rules(ensured.wanted.metadata.v4(), &mut printed)?,
        OldRules::Remove => remove_old_rules(ensured.wanted.metadata.v4(), &mut printed)?,
    }
    if let Some(hint) = legacy_hint(ensured.wanted.metadata.v4()) {
        printed.errors.push_str(&format!("{hint}\n"));
    }
    Ok(printed)
}

fn add_address(spec: &RedirectSpec, printed: &mut Printed) -> Result<(), RedirectError> {
    let ensured = CredentialsAddress::open(spec.clone())?.ensure()?;
    match ensured.place {
        Ok(_) => printed.output.push_str(&format!("{ensured}\n")),
        Err(_) => {
            printed.exit_code = EXIT_NOT_WHOLE;
            printed.errors.push_str(&format!("{ensured}\n"));
        }
    }
    print_cut(&ensured.cut, "connections that other rules had taken elsewhere", printed);
    Ok(())
}

fn print_cut(cut: &Result<usize, String>, which: &str, printed: &mut Printed) {
    match cut {
        Ok(0) => {}
        Ok(cut) => printed.output.push_str(&format!("{cut} {which} cut\n")),
        Err(cause) => printed.errors.push_str(&format!("failed to cut `{which}`: {cause}\n")),
    }
}

fn placed(ensured: &Ensured) -> Printed {
    let mut printed = Printed { output: format!("{ensured}\n"), ..Printed::default() };
    for note in &ensured.notes {
        let stream = if note.is_warning() { &mut printed.errors } else { &mut printed.output };
        stream.push_str(&format!("{note}\n"));
    }
    print_cut(&ensured.cut, "older connections to the metadata service", &mut printed);
    printed
}

fn name_old_rules(metadata: &[Ipv4Addr], printed: &mut Printed) -> Result<(), RedirectError> {
    let (rules, unread) = old_rules_left(metadata)?;
    for rule in rules {
        printed.errors.push_str(&format!("{rule}\n  --adopt removes it, or: {}\n", rule.deletion()));
    }
    unread.iter().for_each(|line| printed.errors.push_str(&format!("{line}\n")));
    Ok(())
}

fn remove_old_rules(metadata: &[Ipv4Addr], printed: &mut Printed) -> Result<(), RedirectError> {
    for (rule, kept) in adopt(metadata)? {
        match kept {
            None => printed.output.push_str(&format!("{rule}: removed\n")),
            Some(cause) => {
                printed.exit_code = EXIT_NOT_WHOLE;
                printed
                    .errors
                    .push_str(&format!("failed to remove `{rule}`: {cause}\n  by hand: {}\n", rule.deletion()));
            }
        }
    }
    Ok(())
}

fn failed(error: &RedirectError) -> Printed {
    Printed { exit_code: error.exit_code(), output: String::new(), errors: format!("{error}\n") }
}
