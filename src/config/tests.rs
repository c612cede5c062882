//! Command lines, whole.

mod container_credentials;
mod contract;
mod forms;
mod meaning;
mod refusals;
mod tolerated;
mod web_identity;

use super::{Command, Config, UsageError, parse};

/// What a pod's environment says.
const POD: &[(&str, &str)] = &[("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")];

fn parse_in(environment: &[(&str, &str)], args: &[&str]) -> Result<Command, UsageError> {
    let lookup = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
    parse(args.iter().map(|arg| arg.to_string()), &lookup)
}

fn config_in(environment: &[(&str, &str)], args: &[&str]) -> Config {
    match parse_in(environment, args) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn config(args: &[&str]) -> Config {
    config_in(POD, args)
}

fn refusal_in(environment: &[(&str, &str)], args: &[&str]) -> String {
    match parse_in(environment, args) {
        Err(error) => error.to_string(),
        other => panic!("{args:?}: {other:?}"),
    }
}
