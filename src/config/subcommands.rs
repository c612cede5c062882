//! The subcommands, for the node's operator.

use super::pflag::distance;
use super::usage::UsageError;

/// A subcommand, from which its help, its parser and the completions are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subcommand {
    /// The first word
    pub word: &'static str,
    /// What follows it
    pub arguments: &'static str,
    pub meaning: &'static str,
    /// Its own flags
    pub flags: &'static [OwnFlag],
    /// Which other words it takes
    pub takes: Positional,
}

/// A flag that belongs to one subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnFlag {
    /// Without the dashes
    pub name: &'static str,
    /// Placeholder of its value; `None`: a switch
    pub value: Option<&'static str>,
    pub meaning: &'static str,
}

/// Words after a subcommand other than its own flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positional {
    Nothing,
    AtMostOne,
    One,
    /// The agent's own flags
    AgentFlags,
    /// The same, but only after `--`
    AgentFlagsAfterDashes,
    /// One of these words, then what it takes
    Actions(&'static [&'static str]),
}

/// All of them, in the order of the help text.
pub static SUBCOMMANDS: [Subcommand; 11] = [
    Subcommand {
        word: "explain",
        arguments: "NAMESPACE/POD | ADDRESS",
        meaning: "show step by step which role a pod gets now, or why none",
        flags: &[JSON, SOCKET],
        takes: Positional::One,
    },
    Subcommand {
        word: "status",
        arguments: "",
        meaning: "show the agent's status, problems first; the exit code is 1 if it isn't ready",
        flags: &[
            OwnFlag { name: "watch", value: None, meaning: "show it again every 2 s until interrupted" },
            JSON,
            SOCKET,
        ],
        takes: Positional::Nothing,
    },
    Subcommand {
        word: "doctor",
        arguments: "[--role=NAME] [agent flags]",
        meaning: "check everything that the agent with these flags depends on, one line a check: ok, warn or FAIL with \
                  what to do; the exit code is 1 if anything keeps credentials from pods",
        flags: &[
            OwnFlag {
                name: "role",
                value: Some("NAME"),
                meaning: "a role to assume as a trial, as an annotation would name it; repeat it for several",
            },
            OwnFlag { name: "external-id", value: Some("ID"), meaning: "external ID to send along" },
            JSON,
            SOCKET,
        ],
        takes: Positional::AgentFlags,
    },
    Subcommand {
        word: "compare",
        arguments: "--theirs=URL [agent flags]",
        meaning: "compare what a running kube2iam answers at each address with what an agent with these flags would \
                  answer; the exit code is 1 if any address differs. Nothing is served. Give both the same flags",
        flags: &[
            OwnFlag {
                name: "theirs",
                value: Some("URL"),
                meaning: "the other kube2iam, such as http://NODE_IP:8181; it must run with --debug",
            },
            OwnFlag { name: "watch", value: None, meaning: "compare every 10 s until interrupted; print what changed" },
            JSON,
        ],
        takes: Positional::AgentFlags,
    },
    Subcommand {
        word: "redirect",
        arguments: "add|remove|status",
        meaning: "add, remove or show the redirect of pods' requests on this node",
        flags: &[],
        takes: Positional::Actions(&["add", "remove", "status"]),
    },
    Subcommand {
        word: "state-dir",
        arguments: "PATH",
        meaning: "prepare a directory for --state-dir that agents of several users can use: create it if it is \
                  missing and open it to the group under which this runs. It must run as root, with the group of \
                  the agents; it needs no capability",
        flags: &[],
        takes: Positional::One,
    },
    Subcommand {
        word: "manifests",
        arguments: "[-- agent flags]",
        meaning: "print the objects that install this program, for `kubectl apply -f -`: what `kubectl kustomize` prints \
                  for manifests/base or an overlay of it, with these flags behind the agent's own",
        flags: &[
            OwnFlag { name: "overlay", value: Some("NAME"), meaning: "a directory of manifests/overlays" },
            OwnFlag {
                name: "component",
                value: Some("NAME"),
                meaning: "a directory of manifests/components; repeat it for several",
            },
            OwnFlag { name: "image", value: Some("REF"), meaning: "the image, REPOSITORY[:TAG][@DIGEST]" },
        ],
        takes: Positional::AgentFlagsAfterDashes,
    },
    Subcommand {
        word: "log-level",
        arguments: "[LEVEL]",
        meaning: "show how much the agent logs, or change it until the agent stops",
        flags: &[JSON, SOCKET],
        takes: Positional::AtMostOne,
    },
    Subcommand {
        word: "completion",
        arguments: "bash|zsh|fish",
        meaning: "print a completion script for a shell, such as for `source <(kube2iam completion bash)`",
        flags: &[],
        takes: Positional::Actions(&["bash", "zsh", "fish"]),
    },
    Subcommand {
        word: "help",
        arguments: "[COMMAND]",
        meaning: "print the agent's help, or a command's",
        flags: &[],
        takes: Positional::AtMostOne,
    },
    Subcommand {
        word: "version",
        arguments: "",
        meaning: "print version, commit and build date",
        flags: &[],
        takes: Positional::Nothing,
    },
];

const JSON: OwnFlag = OwnFlag { name: "json", value: None, meaning: "print one JSON object" };
const SOCKET: OwnFlag = OwnFlag {
    name: "socket",
    value: Some("PATH"),
    meaning: "the agent's control socket (default /run/kube2iam/control.sock)",
};

/// An error if the first word is a mistyped command. The agent ignores positional words, as kube2iam does, but a typo in
/// `kubectl exec POD -- /kube2iam status` would start a second agent there, without its flags and on the same port.
pub fn misnamed(words: &[String]) -> Option<UsageError> {
    let first = words.first().filter(|word| !word.starts_with('-') && !word.is_empty())?;
    let near = SUBCOMMANDS.iter().map(|command| (distance(first, command.word), command.word)).min();
    let (distance, word) = near?;
    if distance == 0 {
        return None;
    }
    let hint = (distance <= FARTHEST_SLIP).then_some(word);
    let has_flags = words.iter().any(|word| word.starts_with('-'));
    (hint.is_some() || !has_flags).then(|| UsageError::no_command(hint))
}

/// The maximum distance of a typo; short words allow fewer.
const FARTHEST_SLIP: usize = 2;

#[cfg(test)]
mod tests;
