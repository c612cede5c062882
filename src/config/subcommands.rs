//! The words that may stand before the flags: programs of the node's operator beside the agent.

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
pub const SUBCOMMANDS: [SubcommandHelp; 5] = [
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
    SubcommandHelp { word: "log-level", arguments: "[LEVEL]", meaning: "tell or change how much the agent logs" },
];
