//! The words that may stand before the flags: programs of the node's operator beside the agent.

use super::pflag::distance;
use super::usage::UsageError;

/// A subcommand, for the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubcommandHelp {
    /// The first word
    pub word: &'static str,
    /// What follows it
    pub arguments: &'static str,
    pub meaning: &'static str,
}

/// All of them, in the order of the help text.
pub const SUBCOMMANDS: [SubcommandHelp; 6] = [
    SubcommandHelp {
        word: "explain",
        arguments: "NAMESPACE/POD | ADDRESS",
        meaning: "tell step by step which role a pod gets now, or why none",
    },
    SubcommandHelp { word: "status", arguments: "", meaning: "tell how the agent on this node is" },
    SubcommandHelp {
        word: "doctor",
        arguments: "[--role=NAME] [flags]",
        meaning: "check everything that the agent with these flags depends on",
    },
    SubcommandHelp {
        word: "redirect",
        arguments: "add|remove|status",
        meaning: "place, remove or look at the redirect of pods' requests on this node",
    },
    SubcommandHelp {
        word: "state-dir",
        arguments: "PATH",
        meaning: "prepare a --state-dir for agents that are not root",
    },
    SubcommandHelp { word: "log-level", arguments: "[LEVEL]", meaning: "tell or change how much the agent logs" },
];

/// Whether the first word was meant for a command and is none. Words that belong to no flag are ignored, as kube2iam
/// does; but a slip in `kubectl exec POD -- /kube2iam status` would start a second agent there, without its flags and
/// on the same port.
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

/// Letters that differ; short words have few.
const FARTHEST_SLIP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_a_command_starts_no_agent() {
        let told = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            misnamed(&words).map(|error| error.to_string())
        };
        let slip = "failed to read the first word: no such command; did you mean `explain`?";
        let other = "failed to read the first word: no such command; `--help` lists what is allowed";
        for (words, wanted) in [
            (&["explian", "shop/web-1"][..], Some(slip)),
            (&["explains", "--json", "shop/web-1"], Some(slip)),
            (&["help"], Some(other)),
            (&["s3cret"], Some(other)),
            (&["s3cret", "--node=n"], None),
            (&["explain", "shop/web-1"], None),
            (&["--node", "status"], None),
            (&[], None),
            (&[""], None),
        ] {
            assert_eq!(told(words).as_deref(), wanted, "{words:?}");
        }
    }
}
