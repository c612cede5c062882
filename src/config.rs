//! Parses the command line in two stages: each flag's value (`flags`, by argh after a pre-pass for pflag's syntax), then
//! the values together ([`Config`], one struct per subject). Pure: arguments and environment are parameters.
//!
//! - Every flag is described once, in `flags`, with its type and default; the pre-pass, help and docs derive from that.
//! - A [`Config`] is valid and is not checked again.
//! - Only the first error is reported, in one line, before anything is started.

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
use flags::FlagValues;
use pflag::{CommandLine, Invocation};
use redirect::NodeNetwork;

/// Looks up an environment variable.
pub type EnvironmentLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run the agent.
    Run(Box<Config>),
    /// Print this on standard output and exit with code 0.
    Help(String),
    /// The same, one line.
    Version(String),
}

/// The agent's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kubernetes: KubernetesConfig,
    pub roles: RolesConfig,
    pub sts: StsConfig,
    pub metadata: MetadataConfig,
    pub listen: ListenConfig,
    /// The node's address as configured, for `/healthz`
    pub host: Option<IpAddr>,
    /// `None`: no redirect
    pub redirect: Option<RedirectConfig>,
    /// `None`: 169.254.170.2 is not set up
    pub credentials_address: Option<RedirectConfig>,
    pub operation: OperationConfig,
    pub log: LogConfig,
    /// To be logged at start: flags without effect or with an unexpected one
    pub warnings: Vec<String>,
}

/// Parses a command line, without the program's name. A missing API server is reported last, so that it hides no other
/// error.
pub fn parse(mut args: impl Iterator<Item = String>, lookup: EnvironmentLookup<'_>) -> Result<Command, UsageError> {
    match read(&mut args, lookup)? {
        Command::Run(config) => match config.kubernetes.access {
            Access::Unknown(error) => Err(error),
            _ => Ok(Command::Run(config)),
        },
        other => Ok(other),
    }
}

/// The same for commands that also work without an API server.
pub fn parse_without_api_server(
    mut args: impl Iterator<Item = String>,
    lookup: EnvironmentLookup<'_>,
) -> Result<Command, UsageError> {
    read(&mut args, lookup)
}

fn read(args: &mut dyn Iterator<Item = String>, lookup: EnvironmentLookup<'_>) -> Result<Command, UsageError> {
    let flags = table::flags();
    let line = match pflag::pre_pass(&flags, args)? {
        Invocation::Help => return Ok(Command::Help(help::help(&flags))),
        Invocation::Run(line) => line,
    };
    if line.is_on("version") {
        return Ok(Command::Version(BUILD.line()));
    }
    let values = FlagValues::read(&line)?;
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    Config::combine(values, &line, &set).map(|config| Command::Run(Box::new(config)))
}

impl Config {
    /// The resources to watch.
    pub fn watched(&self) -> Vec<Resource> {
        let accounts = (self.roles.account_roles == AccountRoles::Read).then_some(Resource::ServiceAccounts);
        [Resource::Pods, Resource::Namespaces].into_iter().chain(accounts).collect()
    }

    /// Combines the values, or reports which flags contradict each other. `line` has them as values.
    fn combine(values: FlagValues, line: &CommandLine<'_>, lookup: EnvironmentLookup<'_>) -> Result<Self, UsageError> {
        let mut warnings = line.warnings.clone();
        let log = LogConfig::read(&values.logs, line, &mut warnings);
        let keys = kubernetes::annotation_keys(&values.roles, &values.sessions);
        let roles = RolesConfig::read(values.roles, line, &mut warnings)?;
        let metadata = MetadataConfig::read(values.metadata, lookup)?;
        let listen = ListenConfig::read(values.listen, line, &mut warnings)?;
        let network = redirect::read(&values.redirect, &metadata, &listen, &mut warnings)?;
        let NodeNetwork { host, redirect, credentials_address } = network;
        let kubernetes = KubernetesConfig::read(values.kubernetes, keys, lookup, &mut warnings)?;
        let node = kubernetes.node.as_deref();
        let sts = StsConfig::read(values.sessions, line, node, &listen, &mut warnings)?;
        let operation = OperationConfig::read(values.operation, line, node)?;
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
