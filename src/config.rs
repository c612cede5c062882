//! The command line, in two stages: as typed (`flags`, by argh after a pre-pass for pflag's forms), then as meant
//! ([`Config`], one struct per room). Pure: arguments and environment are handed in, the answer is a value.
//!
//! - Every flag stands once, in `flags`, with its default; help, the table of the docs and pre-pass read it from there.
//! - What is in a [`Config`] has been checked and is not checked again.
//! - The first thing wrong is the only one reported, in one line; nothing has been started by then.

mod completion;
mod duration;
mod flags;
mod help;
mod kubernetes;
mod listen;
mod logs;
mod metadata;
mod operation;
mod pflag;
mod redirect;
mod redirect_command;
mod roles;
mod sts;
mod subcommands;
mod table;
mod usage;
mod values;
mod version;
mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use completion::completion;
pub use help::{flag_table, help_of};
pub use kubernetes::{Access, KubernetesConfig};
pub use listen::{Listen, ListenConfig, MetricsListener, SharedAddress};
pub use logs::{LogConfig, log_level, log_levels};
pub use metadata::MetadataConfig;
pub use operation::{OperationConfig, SocketSetting};
pub use redirect::{OnExit, RedirectConfig};
pub use redirect_command::{RedirectAsked, parse_redirect};
pub use roles::{BaseSource, DefaultRoleSource, RolesConfig};
pub use sts::StsConfig;
pub use subcommands::{SUBCOMMANDS, misnamed};
pub use usage::UsageError;
pub use values::http_url;

pub use version::{BUILD, Build};
pub use words::{Words, WordsAsked, read_words};

use crate::logic::cluster::kubernetes::Resource;
use crate::logic::policy::AccountRoles;
use flags::Typed;
use pflag::{Invocation, Settled};
use redirect::NodeNetwork;

/// Looks a variable of the environment up.
pub type EnvironmentLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Work as the agent.
    Run(Box<Config>),
    /// Print this on standard output and end well.
    Help(String),
    /// The same, one line.
    Version(String),
}

/// The agent's configuration as meant.
#[derive(Clone, Debug)]
pub struct Config {
    pub kubernetes: KubernetesConfig,
    pub roles: RolesConfig,
    pub sts: StsConfig,
    pub metadata: MetadataConfig,
    pub listen: ListenConfig,
    /// The node's address as given, for `/healthz`
    pub host: Option<IpAddr>,
    /// `None`: the agent leaves the node's packets alone
    pub redirect: Option<RedirectConfig>,
    /// `None`: 169.254.170.2 is left alone too
    pub credentials_address: Option<RedirectConfig>,
    pub operation: OperationConfig,
    pub log: LogConfig,
    /// To be logged at start: what was typed and has no effect, or not the one expected
    pub warnings: Vec<String>,
}

/// Reads a command line, without the program's name. A way to the API server is looked for last: nothing else that is
/// wrong is hidden by its absence.
pub fn parse(mut args: impl Iterator<Item = String>, lookup: EnvironmentLookup<'_>) -> Result<Command, UsageError> {
    match read(&mut args, lookup)? {
        Command::Run(config) => match config.kubernetes.access {
            Access::Unknown(error) => Err(error),
            _ => Ok(Command::Run(config)),
        },
        other => Ok(other),
    }
}

/// The same for commands that have something to do without an API server.
pub fn parse_without_api_server(
    mut args: impl Iterator<Item = String>,
    lookup: EnvironmentLookup<'_>,
) -> Result<Command, UsageError> {
    read(&mut args, lookup)
}

fn read(args: &mut dyn Iterator<Item = String>, lookup: EnvironmentLookup<'_>) -> Result<Command, UsageError> {
    let flags = table::flags();
    let settled = match pflag::settle(&flags, args)? {
        Invocation::Help => return Ok(Command::Help(help::help(&flags))),
        Invocation::Run(settled) => settled,
    };
    if settled.is_on("version") {
        return Ok(Command::Version(BUILD.line()));
    }
    let typed = Typed::read(&settled)?;
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    Config::mean(typed, &settled, &set).map(|config| Command::Run(Box::new(config)))
}

impl Config {
    /// What of the cluster is watched.
    pub fn watched(&self) -> Vec<Resource> {
        let accounts = (self.roles.account_roles == AccountRoles::Read).then_some(Resource::ServiceAccounts);
        [Resource::Pods, Resource::Namespaces].into_iter().chain(accounts).collect()
    }

    /// Brings the values together, or says what contradicts what. `settled` shows them as they were typed.
    fn mean(typed: Typed, settled: &Settled<'_>, lookup: EnvironmentLookup<'_>) -> Result<Self, UsageError> {
        let mut warnings = settled.warnings.clone();
        let log = LogConfig::read(&typed.logs, settled, &mut warnings);
        let keys = kubernetes::annotation_keys(&typed.roles, &typed.sessions);
        let roles = RolesConfig::read(typed.roles, settled, &mut warnings)?;
        let metadata = MetadataConfig::read(typed.metadata, lookup)?;
        let listen = ListenConfig::read(typed.listen, settled, &mut warnings)?;
        let network = redirect::read(&typed.redirect, &metadata, &listen, &mut warnings)?;
        let NodeNetwork { host, redirect, credentials_address } = network;
        let kubernetes = KubernetesConfig::read(typed.kubernetes, keys, lookup, &mut warnings)?;
        let node = kubernetes.node.as_deref();
        let sts = StsConfig::read(typed.sessions, settled, node, &listen, &mut warnings)?;
        let operation = OperationConfig::read(typed.operation, settled, node)?;
        Ok(Self {
            kubernetes,
            roles,
            sts,
            metadata,
            listen,
            host,
            redirect,
            credentials_address,
            operation,
            log,
            warnings,
        })
    }
}
