//! Every flag once: its name, type, placeholder, description and default. A `from_str_fn` parses one value; its error is
//! the text of what is allowed.
//!
//! [`super::table`] parses the descriptions: what the flag does, then, each optional and in this order, `Default:` the
//! value that is used as if it had been typed, `Unset:` what happens without the flag, `Differs:` how kube2iam's flag
//! differs, or `New.` if kube2iam has no such flag. A flag with the placeholder `bool` is true by default.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use log::LevelFilter;
use regex_lite::Regex;

use super::duration::{duration, ignored_duration};
use super::kubernetes::ServerAddress;
use super::logs::FormatWord;
use super::operation::SocketSetting;
use super::pflag::CommandLine;
use super::redirect::OnExit;
use super::usage::UsageError;
use super::{kubernetes, listen, logs, metadata, operation, redirect, roles, sts, values};
use crate::logic::base::secret::Secret;
use crate::logic::base::url::Authority;
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::policy::pattern::Format;
use crate::logic::policy::{Enforcement, TokenRequirement};
use crate::logic::redirect::OtherPorts;
use crate::logic::sessions::session::{CallsBear, NameTemplate};

macro_rules! groups {
    ($($(#[$attribute:meta])* $group:ident: $flags:ty,)*) => {
        /// The values of all flags, in the order of the help text.
        pub(super) struct FlagValues { $($(#[$attribute])* pub(super) $group: $flags,)* }

        impl FlagValues {
            /// The flags of each group, from argh.
            pub(super) fn groups() -> Vec<CommandInfoWithArgs> {
                vec![$(<$flags>::get_args_info(),)*]
            }

            /// Parses every group. Of several errors, reports the one that is first on the command line.
            pub(super) fn read(line: &CommandLine<'_>) -> Result<Self, UsageError> {
                $(let $group = line.read::<$flags>();)*
                let errors = [$($group.as_ref().err(),)*].into_iter().flatten();
                if let Some(first) = errors.min_by_key(|error| error.place) {
                    return Err(first.error.clone());
                }
                Ok(Self { $($group: $group.map_err(|error| error.error)?,)* })
            }
        }
    };
}

groups! {
    kubernetes: KubernetesFlags,
    roles: RoleFlags,
    sessions: SessionFlags,
    metadata: MetadataFlags,
    listen: ListenFlags,
    redirect: RedirectFlags,
    operation: OperationFlags,
    logs: LogFlags,
    #[expect(dead_code, reason = "answered before any value is read")]
    general: GeneralFlags,
}

/// Kubernetes API
#[derive(FromArgs, ArgsInfo)]
pub(super) struct KubernetesFlags {
    /// kubeconfig file to use; wins over the API server flags and over the pod's own service account
    #[argh(option, arg_name = "path")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// API server to use, together with --api-token. Unset: the cluster this pod runs in
    #[argh(option, arg_name = "url", from_str_fn(kubernetes::server))]
    pub(super) api_server: Option<ServerAddress>,
    /// bearer token for --api-server; everyone on the node can read it in the process list
    #[argh(option, arg_name = "token", from_str_fn(kubernetes::token))]
    pub(super) api_token: Option<Secret<String>>,
    /// don't verify the API server's certificate, with --kubeconfig or --api-server
    #[argh(switch)]
    pub(super) insecure: bool,
    /// name of this node: only its pods are watched. Unset: all pods of the cluster are watched
    #[argh(option, arg_name = "name", from_str_fn(kubernetes::node_name))]
    pub(super) node: Option<String>,
    /// accepted, no effect. Default: 30m. Differs: nothing here polls
    #[argh(option, arg_name = "duration", from_str_fn(ignored_duration))]
    #[expect(dead_code, reason = "accepted for kube2iam's sake, without effect")]
    pub(super) cache_resync_period: (),
    /// give no credentials once what is known of the cluster is older, while the API server answers and refuses; 0 for
    /// never. Default: 5m. New.
    #[argh(option, arg_name = "duration", from_str_fn(duration))]
    pub(super) max_world_age: Duration,
}

/// Roles and who may have them
#[derive(FromArgs, ArgsInfo)]
pub(super) struct RoleFlags {
    /// what goes before every role that is not an ARN itself
    #[argh(option, arg_name = "arn", from_str_fn(roles::base_arn))]
    pub(super) base_role_arn: Option<BaseArn>,
    /// take the base from the node's own role
    #[argh(switch)]
    pub(super) auto_discover_base_arn: bool,
    /// use the node's own role, and its base, for pods that name none
    #[argh(switch)]
    pub(super) auto_discover_default_role: bool,
    /// role of pods that name none
    #[argh(option, arg_name = "role", from_str_fn(roles::role))]
    pub(super) default_role: Option<String>,
    /// namespaces' lists bind the default role too. New.
    #[argh(switch)]
    pub(super) default_role_restricted: bool,
    /// pods' annotation that names their role. Default: iam.amazonaws.com/role
    #[argh(option, arg_name = "key", from_str_fn(values::annotation_key))]
    pub(super) iam_role_key: String,
    /// pods that name no role get their ServiceAccount's. New.
    #[argh(switch)]
    pub(super) service_account_roles: bool,
    /// a pod gets a role only if its namespace lists it
    #[argh(switch)]
    pub(super) namespace_restrictions: bool,
    /// how namespaces' lists are read. Default: glob. Differs: `regexp` must match the whole ARN,
    /// `regexp-unanchored` is what kube2iam does; kube2iam takes an unknown word for `glob`
    #[argh(option, arg_name = "glob|regexp|regexp-unanchored", from_str_fn(roles::format))]
    pub(super) namespace_restriction_format: Format,
    /// namespaces' annotation that lists the roles allowed there. Default: iam.amazonaws.com/allowed-roles
    #[argh(option, arg_name = "key", from_str_fn(values::annotation_key))]
    pub(super) namespace_key: String,
    /// what becomes of refusals: `audit` logs them and lets pass. Default: enforce. New.
    #[argh(option, arg_name = "enforce|audit", from_str_fn(roles::enforcement))]
    pub(super) policy_mode: Enforcement,
    /// accounts whose roles may be assumed. Unset: every account. New.
    #[argh(option, arg_name = "account,…", from_str_fn(roles::account))]
    pub(super) allowed_accounts: Vec<String>,
}

/// Sessions and STS
#[derive(FromArgs, ArgsInfo)]
pub(super) struct SessionFlags {
    /// how sessions are asked for: `assume-role` signs with the node's credentials; `web-identity`, with
    /// --container-credentials, sends the token that the pod has shown, and the node needs no permission. Default:
    /// assume-role. New.
    #[argh(option, arg_name = "assume-role|web-identity", from_str_fn(sts::bearing))]
    pub(super) sts: CallsBear,
    /// how old credentials get before new ones are fetched; STS is asked for twice as long. Unset: asked for
    /// 1h, renewed at half of that. Differs: kube2iam's default is 15m, and it renews nothing in the
    /// background
    #[argh(option, arg_name = "duration", from_str_fn(duration))]
    pub(super) iam_role_session_ttl: Option<Duration>,
    /// how long a refusal by STS is remembered; 0 turns it off. Unset: 10s for final refusals, 1s for what
    /// may pass by itself. Differs: kube2iam's default is 0
    #[argh(option, arg_name = "duration", from_str_fn(duration))]
    pub(super) iam_role_error_ttl: Option<Duration>,
    /// pods' annotation that holds the external ID for their role. Default: iam.amazonaws.com/external-id
    #[argh(option, arg_name = "key", from_str_fn(values::annotation_key))]
    pub(super) iam_external_id: String,
    /// accepted, no effect. Differs: the regional endpoint is the default; AWS_STS_REGIONAL_ENDPOINTS=legacy
    /// gives the global one
    #[argh(switch)]
    #[expect(dead_code, reason = "accepted for kube2iam's sake; what it asks for is always so")]
    pub(super) use_regional_sts_endpoint: bool,
    /// role to assume first, which then assumes the pods' roles. New.
    #[argh(option, arg_name = "arn", from_str_fn(sts::role_arn))]
    pub(super) assume_role_arn: Option<RoleArn>,
    /// name of the sessions, from {node}, {role}, {namespace}, {pod}, {service_account} and {uid}; without
    /// --node {node} is `kube2iam`. Default: {node}-{role}. New.
    #[argh(option, arg_name = "template", from_str_fn(sts::session_name))]
    pub(super) session_name: NameTemplate,
    /// let a pod's annotation iam.amazonaws.com/session-name name its session, as kiam does: whoever writes pods then
    /// writes the names that CloudTrail and trust policies see. New.
    #[argh(switch)]
    pub(super) session_name_annotation: bool,
    /// tag sessions with namespace, service account, pod and cluster, as EKS Pod Identity does. New.
    #[argh(switch)]
    pub(super) session_tags: bool,
    /// session tags last through further role changes, with --session-tags. New.
    #[argh(switch)]
    pub(super) transitive_tags: bool,
    /// name of this cluster for --session-tags. New.
    #[argh(option, arg_name = "name", from_str_fn(sts::cluster_name))]
    pub(super) cluster_name: Option<String>,
    /// fetch a pod's credentials when the pod appears, with --node. Default: true. New.
    #[argh(option, arg_name = "bool")]
    pub(super) prefetch: bool,
    /// STS calls per second that renewals and prefetch may take; calls that a pod waits for always go.
    /// Default: 10. New.
    #[argh(option, arg_name = "number", from_str_fn(sts::calls_per_second))]
    pub(super) sts_qps: f64,
}

/// Metadata service
#[derive(FromArgs, ArgsInfo)]
pub(super) struct MetadataFlags {
    /// the EC2 metadata service: HOST, HOST:PORT or \[V6\]:PORT. Default: 169.254.169.254. Differs: discovery
    /// and health use it too, unless AWS_EC2_METADATA_SERVICE_ENDPOINT names another
    #[argh(option, arg_name = "address", from_str_fn(metadata::authority))]
    pub(super) metadata_addr: Authority,
    /// whether pods must use IMDSv2 session tokens. Default: optional. New.
    #[argh(option, arg_name = "optional|required", from_str_fn(metadata::token_requirement))]
    pub(super) imds_v2: TokenRequirement,
    /// let pods read what is kept back: user-data, instance-identity, fws, managed-ssh-keys. Unset: nothing
    /// of it. New.
    #[argh(option, arg_name = "name,…", from_str_fn(metadata::blocked))]
    pub(super) metadata_allow: Vec<String>,
    /// keep metadata paths back that match, in any case of letters; repeat it for several. New.
    #[argh(option, arg_name = "regex", from_str_fn(metadata::expression))]
    pub(super) metadata_deny: Vec<Regex>,
}

/// Requests
#[derive(FromArgs, ArgsInfo)]
pub(super) struct ListenFlags {
    /// port that pods' requests are redirected to. Default: 8181
    #[argh(option, arg_name = "port", from_str_fn(values::port))]
    pub(super) app_port: u16,
    /// address that --app-port is opened on. Unset: every address. New.
    #[argh(option, arg_name = "address", from_str_fn(values::address))]
    pub(super) bind_address: Option<IpAddr>,
    /// give pods that show a projected ServiceAccount token their credentials: GET /v1/credentials on the app port, at
    /// 169.254.170.2 and at loopback; the agent keeps that address on a link of its own, also without --iptables. New.
    #[argh(switch)]
    pub(super) container_credentials: bool,
    /// audience that these tokens must have; repeat it for several, of which each token needs one. Unset: kube2iam.
    /// New.
    #[argh(option, arg_name = "audience", from_str_fn(listen::audience))]
    pub(super) token_audience: Vec<String>,
    /// port of /metrics. Unset: the app port. Differs: kube2iam's default is 8181, whatever the app port
    #[argh(option, arg_name = "port", from_str_fn(values::port))]
    pub(super) metrics_port: Option<u16>,
    /// address that a --metrics-port of its own is opened on. Unset: every address. New.
    #[argh(option, arg_name = "address", from_str_fn(values::address))]
    pub(super) metrics_bind_address: Option<IpAddr>,
    /// how long a request waits for its pod to become known; 0 means 10s. Default: 900ms. Differs: kube2iam's
    /// default is 2s, and it polls; its 0 waits for ever
    #[argh(option, arg_name = "duration", from_str_fn(duration))]
    pub(super) backoff_max_elapsed_time: Duration,
    /// accepted, no effect. Default: 1s. Differs: nothing here polls
    #[argh(option, arg_name = "duration", from_str_fn(ignored_duration))]
    #[expect(dead_code, reason = "accepted for kube2iam's sake, without effect")]
    pub(super) backoff_max_interval: (),
    /// ask the API server when several pods claim one address
    #[argh(switch)]
    pub(super) resolve_duplicate_cache_ips: bool,
    /// serve /debug/store. Differs: never at the metadata address, where pods could read it
    #[argh(switch)]
    pub(super) debug: bool,
}

/// Redirect
#[derive(FromArgs, ArgsInfo)]
pub(super) struct RedirectFlags {
    /// redirect pods' metadata requests to this agent. Differs: an nftables table of the agent's own, v4 and
    /// v6, without an iptables binary
    #[argh(switch)]
    pub(super) iptables: bool,
    /// interfaces that pods' requests are redirected on; on others but the uplinks they are dropped; `+` at the
    /// end stands for any rest, `!` before it excepts. Unset: all but loopback and the uplinks. Differs:
    /// kube2iam's default is docker0, it takes one name, and leaves the real service open to all others
    #[argh(option, arg_name = "name,…", from_str_fn(redirect::interface))]
    pub(super) host_interface: Vec<String>,
    /// this node's address: target of the redirect, shown by /healthz. Unset: the address of the default
    /// route's interface. Differs: kube2iam needs it for --iptables
    #[argh(option, arg_name = "address", from_str_fn(values::address))]
    pub(super) host_ip: Option<IpAddr>,
    /// this node's IPv6 address: target of the redirect for IPv6. Unset: a global address of the interface
    /// that has --host-ip. New.
    #[argh(option, arg_name = "address", from_str_fn(values::address_v6))]
    pub(super) host_ip6: Option<Ipv6Addr>,
    /// on redirected interfaces, drop all but requests to the metadata address: other ports and protocols.
    /// Default: true. New.
    #[argh(option, arg_name = "bool", from_str_fn(redirect::other_ports))]
    pub(super) metadata_drop: OtherPorts,
    /// what becomes of the redirect when the agent ends; `remove` opens the node's own role to pods. Default:
    /// keep. New.
    #[argh(option, arg_name = "keep|remove", from_str_fn(redirect::on_exit))]
    pub(super) redirect_on_exit: OnExit,
}

/// Operation
#[derive(FromArgs, ArgsInfo)]
pub(super) struct OperationFlags {
    /// directory through which an agent hands its listener and its token keys to its successor. New.
    #[argh(option, arg_name = "path", from_str_fn(operation::state_dir))]
    pub(super) state_dir: Option<PathBuf>,
    /// path of the Unix socket that answers this node's operator; empty for none. Default:
    /// /run/kube2iam/control.sock. New.
    #[argh(option, arg_name = "path", from_str_fn(operation::control_socket))]
    pub(super) control_socket: SocketSetting,
    /// taint to take off this node once the agent is ready, with --node. New.
    #[argh(option, arg_name = "key", from_str_fn(operation::taint_key))]
    pub(super) remove_taint: Option<String>,
    /// write an Event to a pod that is refused. New.
    #[argh(switch)]
    pub(super) events: bool,
}

/// Logs
#[derive(FromArgs, ArgsInfo)]
pub(super) struct LogFlags {
    /// form of log lines: `json`, anything else is text. Default: text
    #[argh(option, arg_name = "text|json", from_str_fn(logs::format))]
    pub(super) log_format: FormatWord,
    /// panic, fatal, error, warn, info, debug or trace. Default: info
    #[argh(option, arg_name = "level", from_str_fn(logs::level))]
    pub(super) log_level: LevelFilter,
    /// log at level debug
    #[argh(switch)]
    pub(super) verbose: bool,
    /// accepted, no effect. Default: 5s. Differs: lines are written at once
    #[argh(option, arg_name = "duration", from_str_fn(ignored_duration))]
    #[expect(dead_code, reason = "accepted for kube2iam's sake, without effect")]
    pub(super) log_flush_frequency: (),
}

/// General
#[derive(FromArgs, ArgsInfo)]
pub(super) struct GeneralFlags {
    /// print version, commit and build date, and exit
    #[argh(switch)]
    #[expect(dead_code, reason = "answered before any value is read")]
    pub(super) version: bool,
}
