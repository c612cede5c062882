//! `kube2iam doctor [--role=NAME] [flags]`: checks everything that the agent with these flags depends on, one line
//! per check. It works without an agent and doesn't affect one.

mod aws;
mod container;
mod kubernetes;
mod node;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{CommandResult, CommandVerdict, Failure};
use crate::config::{self, Command, Config, EnvironmentLookup, Words};
use crate::logic::base::json::{self, PrintedForm};
use crate::logic::operator::doctor::{Finding, Mark};
use crate::logic::sts::environment::AwsEnvironment;
use crate::os::clock::SystemClock;
use crate::ports::Clock;

/// The input of all checks.
struct DoctorContext {
    config: Config,
    environment: AwsEnvironment,
    clock: Arc<dyn Clock>,
    asked: TrialOptions,
    /// The container credentials variables, if doctor runs in a pod
    own_token: container::OwnToken,
}

/// The flags of doctor itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TrialOptions {
    /// Roles to assume
    roles: Vec<String>,
    /// Sent with these calls
    external_id: Option<String>,
}

pub(super) fn run(words: &Words, lookup: EnvironmentLookup<'_>, output: &mut dyn Write) -> CommandResult {
    let asked = TrialOptions {
        roles: words.values("role").map(str::to_owned).collect(),
        external_id: words.value("external-id").map(str::to_owned),
    };
    // the other commands call the agent's flag `--socket`
    let socket = words.value("socket").map(|path| format!("--control-socket={path}"));
    let config = match config::parse_without_api_server(words.rest.iter().cloned().chain(socket), lookup) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Help(text) | Command::Version(text)) => return Err(Failure::Help(text)),
        Err(error) => return Err(Failure::Usage(error.to_string())),
    };
    let environment = AwsEnvironment::from_lookup(lookup);
    let own_token = container::OwnToken::from_lookup(lookup);
    let context = DoctorContext { config, environment, clock: Arc::new(SystemClock::new()), asked, own_token };
    let mut checks = Checks::new(output, words.form());
    checks.check("flags", || flags(&context.config))?;
    kubernetes::check(&context, &mut checks)?;
    aws::check(&context, &mut checks)?;
    node::check(&context, &mut checks)?;
    checks.finish()
}

fn flags(config: &Config) -> Finding {
    match config.warnings.as_slice() {
        [] => Finding::ok("they fit together"),
        warnings => Finding::warn(warnings.join("; ")),
    }
}

/// Runs checks and prints their findings.
struct Checks<'a> {
    output: &'a mut dyn Write,
    worst: Mark,
    report: FindingOutput,
}

/// The output format of findings.
enum FindingOutput {
    /// A line each, at once; the check's name is shown while it runs
    Lines,
    /// One JSON object at the end; the findings so far
    Json(Vec<Value>),
}

impl<'a> Checks<'a> {
    fn new(output: &'a mut dyn Write, form: PrintedForm) -> Self {
        let report = match form {
            PrintedForm::Text => FindingOutput::Lines,
            PrintedForm::Json => FindingOutput::Json(Vec::new()),
        };
        Self { output, worst: Mark::Ok, report }
    }

    /// Runs one check.
    fn check(&mut self, name: &str, work: impl FnOnce() -> Finding) -> Result<(), Failure> {
        if let FindingOutput::Lines = self.report {
            self.write(format_args!("{name:<NAME_WIDTH$} "))?;
        }
        let Finding { mark, text } = work();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.worst = self.worst.max(mark);
        match &mut self.report {
            FindingOutput::Lines => self.write(format_args!("{:<4}  {text}\n", mark.word())),
            FindingOutput::Json(found) => {
                found.push(json!({ "name": name, "mark": mark.word().to_ascii_lowercase(), "text": text }));
                Ok(())
            }
        }
    }

    /// To be called after the last check.
    fn finish(mut self) -> CommandResult {
        if let FindingOutput::Json(found) = &self.report {
            let worst = self.worst.word().to_ascii_lowercase();
            let object = json::text(&json!({ "worst": worst, "checks": found }));
            self.write(format_args!("{object}\n"))?;
        }
        Ok(if self.worst == Mark::Fail { CommandVerdict::Bad } else { CommandVerdict::Good })
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
        let written = self.output.write_fmt(text).and_then(|()| self.output.flush());
        written.map_err(|cause| Failure::Unanswered(format!("failed to write a finding: {cause}")))
    }
}

const NAME_WIDTH: usize = 20;
#[cfg(test)]
mod tests;
