//! `kube2iam manifests [--overlay=NAME] [--component=NAME] [--image=REF] [-- agent flags]`: prints the manifests that
//! install this program, for `kubectl apply -f -`, from embedded files.

use std::io::Write;

use super::{CommandResult, CommandVerdict, Failure, say};
use crate::config::{self, Command, Words};
use crate::logic::base::yaml;
use crate::logic::operator::manifests::{ManifestsError, WantedManifests, build, command_line};

pub(super) fn run(words: &Words, output: &mut dyn Write) -> CommandResult {
    let wanted = WantedManifests {
        overlay: words.value("overlay"),
        components: words.values("component").collect(),
        image: words.value("image"),
        flags: words.rest.iter().map(String::as_str).collect(),
    };
    if let Some(image) = wanted.image.filter(|image| !is_image(image)) {
        let shown = image.escape_debug();
        return Err(Failure::Usage(format!(
            "invalid value `{shown}` for `--image`: allowed is REPOSITORY[:TAG][@DIGEST]"
        )));
    }
    let objects = build(&wanted).map_err(|error| match error {
        ManifestsError::Unknown { kind, known } => {
            Failure::Usage(format!("invalid value for `--{kind}`: allowed is one of {}", known.join(", ")))
        }
        ManifestsError::Broken(cause) => Failure::Unanswered(cause),
    })?;
    check(command_line(&objects, on_a_node))?;
    let documents: Vec<String> = objects.iter().map(yaml::write).collect();
    say(output, &documents.join("---\n"))?;
    Ok(CommandVerdict::Good)
}

/// Refuses flags with which the agent would not start, before they reach every node.
fn check(words: Vec<String>) -> Result<(), Failure> {
    let refuse = |cause: String| Err(Failure::Usage(cause));
    match config::parse(words.into_iter(), &in_a_pod) {
        Ok(Command::Run(config)) if config.listen.app.port == PORT => Ok(()),
        Ok(Command::Run(config)) => refuse(format!(
            "failed to use `--app-port={}`: the manifests' probes and init containers ask port {PORT}; the Helm chart can",
            config.listen.app.port
        )),
        Ok(Command::Help(_) | Command::Version(_)) => {
            refuse("failed to read the agent's flags: they only print".to_owned())
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// Placeholders for values that the kubelet provides.
fn on_a_node(variable: &str) -> String {
    if variable == "HOST_IP" { "192.0.2.1".to_owned() } else { "node".to_owned() }
}

/// The environment in the pod, as far as flags depend on it.
fn in_a_pod(variable: &str) -> Option<String> {
    match variable {
        "KUBERNETES_SERVICE_HOST" => Some("192.0.2.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    }
}

fn is_image(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    starts && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@'))
}

/// The port in the manifests.
const PORT: u16 = 8181;
