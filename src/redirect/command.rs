//! `kube2iam redirect add | remove | status`, without the printing.

use std::net::Ipv4Addr;

use crate::logic::base::json::{self, PrintedForm};
use crate::logic::redirect::RedirectSpec;
pub use crate::logic::redirect::command::{OldRules, RedirectCommand};
use crate::logic::redirect::status::TableState;

use super::{Ensured, Redirect, RedirectError, adopt, left_over, legacy_hint, remove, status};

/// What to print and how to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub exit_code: u8,
    /// For standard output, lines with their ends.
    pub output: String,
    /// For standard error.
    pub errors: String,
}

/// Not whole, or a rule that could not be removed.
const EXIT_NOT_WHOLE: u8 = 1;

/// Does it.
pub fn run(command: &RedirectCommand) -> Printed {
    let done = match command {
        RedirectCommand::Add { spec, old_rules } => add(spec, *old_rules),
        RedirectCommand::Remove => {
            remove().map(|removed| Printed { output: format!("{removed}\n"), ..Printed::default() })
        }
        RedirectCommand::Status(form) => status().map(|status| {
            let exit_code = if matches!(status.wholeness(), TableState::Whole(_)) { 0 } else { EXIT_NOT_WHOLE };
            let output = match form {
                PrintedForm::Text => status.text(),
                PrintedForm::Json => json::text(&status.json()) + "\n",
            };
            Printed { exit_code, output, errors: String::new() }
        }),
    };
    done.unwrap_or_else(|error| failed(&error))
}

fn add(spec: &RedirectSpec, old_rules: OldRules) -> Result<Printed, RedirectError> {
    let ensured = Redirect::open(spec.clone())?.ensure()?;
    let mut printed = placed(&ensured);
    match old_rules {
        OldRules::Name => name_old_rules(ensured.wanted.metadata.v4(), &mut printed)?,
        OldRules::Remove => remove_old_rules(ensured.wanted.metadata.v4(), &mut printed)?,
    }
    if let Some(hint) = legacy_hint(ensured.wanted.metadata.v4()) {
        printed.errors.push_str(&format!("{hint}\n"));
    }
    Ok(printed)
}

fn placed(ensured: &Ensured) -> Printed {
    let mut printed = Printed { output: format!("{ensured}\n"), ..Printed::default() };
    for note in &ensured.notes {
        let stream = if note.is_warning() { &mut printed.errors } else { &mut printed.output };
        stream.push_str(&format!("{note}\n"));
    }
    match &ensured.cut {
        Ok(0) => {}
        Ok(cut) => printed.output.push_str(&format!("{cut} older connections to the metadata service cut\n")),
        Err(cause) => printed.errors.push_str(&format!("failed to cut `older connections`: {cause}\n")),
    }
    printed
}

fn name_old_rules(metadata: &[Ipv4Addr], printed: &mut Printed) -> Result<(), RedirectError> {
    let (rules, unread) = left_over(metadata)?;
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
