//! The items used by tests, benches, the playground and the fuzzers.
//!
//! Nothing else of the crate is public, so that the compiler reports unused code. No whole module is exported, since
//! that would hide its dead code.

pub use crate::agent::tasks::watch::Reflector;
pub use crate::agent::{AgentState, Ports, work as agent_threads};
pub use crate::api::metadata::Caller;
pub use crate::clients::http::{
    AgentOptions, Authorities, ClientCertificate, Misconfigured, Pem, ProxyUse, Roots, TimeLimits, TlsOptions,
    agent as http_agent, cause as http_failure, target_of,
};
pub use crate::clients::kubernetes::{
    ApiServer, ApiServerConnection, ApiServerOptions, Auth, CallLimits, Verification,
};
pub use crate::config::{BUILD, Command, Config, flag_table, parse as parse_command_line};
pub use crate::logic::base::json::PrintedForm;
pub use crate::logic::base::proxy::ProxyEnvironment;
pub use crate::logic::base::secret::Secret;
pub use crate::logic::base::time::{Mono, Now, Wall};
pub use crate::logic::cluster::kubernetes::{
    AnnotationKeys, Event, Frame, Item, KubernetesFailure, KubernetesFailureKind, LineReader, ListPage, Object,
    PageReader, Pod, Resource, SessionAnnotations, Unreadable, WatchLine, frame, object, status,
};
pub use crate::logic::cluster::watch::{Relist, WatchNote};
pub use crate::logic::cluster::world::{AddressHolder, ParsedEvent, PodTokens, Reading, World};
pub use crate::logic::identity::issuer::{Issuer, IssuerDocuments};
pub use crate::logic::identity::issuer_keys::IssuerKeys;
pub use crate::logic::identity::metadata_token::{Bearer, LONGEST_TTL_S, TokenKeys, parse_ttl};
pub use crate::logic::identity::projected_token::{ProvenPod, TokenFault, TokenRules, check as check_projected_token};
pub use crate::logic::operator::advice::{AdviceNames, meaning as meaning_of_reason, mend as mend_of_reason};
pub use crate::logic::operator::log_line::{LineParts, LogFormat, Taken};
pub use crate::logic::operator::port_holder::PortAnswer;
pub use crate::logic::policy::arn::{BaseArn, NamedRole, RoleArn};
pub use crate::logic::policy::pattern::{Format, RoleList, glob as glob_matches};
pub use crate::logic::policy::reason::Reason;
pub use crate::logic::policy::{OwnRole, OwnRoles, entitled};
pub use crate::logic::redirect::address::{Obstacle, Place};
pub use crate::logic::redirect::guard::{GUARD_TABLE, HEALTH_V4, chains as guard_chains};
pub use crate::logic::redirect::interfaces::InterfaceRule;
pub use crate::logic::redirect::resolve::RedirectNote;
pub use crate::logic::redirect::ruleset::{nft_text, table_text};
pub use crate::logic::redirect::{METADATA_V4, METADATA_V6, Metadata, OtherPorts, RedirectSpec, RequestAction};
pub use crate::logic::request::message::{Headers, Method, Request, Response, ShownToken};
pub use crate::logic::request::path::CanonicalPath;
pub use crate::logic::request::route::{
    CONTAINER_ADDRESS, Facing, IamEntry, Route, RouteRules, filter_listing, route as route_of,
};
pub use crate::logic::request::upstream::ImdsFailure;
pub use crate::logic::sessions::budget::{Bucket, Rate};
pub use crate::logic::sessions::cache::{Cache, CacheAnswer, CacheRules, MOST_CALLS, NextCall, RenewAt, Start};
pub use crate::logic::sessions::credentials::Credentials;
pub use crate::logic::sessions::session::{CallsBear, NameAnnotation, NameTemplate, SessionRules, TagReach, Tags};
pub use crate::logic::sts::{
    AssumeRole, Assumed, StsAnswer, StsFailure, StsFailureKind, TokenRefusal, read_caller_identity, read_credentials,
};
pub use crate::os::clock::SystemClock;
pub use crate::os::latch::Latch;
pub use crate::os::threads::{STACK_BYTES, spawn as spawn_thread};
pub use crate::ports::{
    Clock, Forwarded, Imds, IssuerDiscovery, KeyStore, Kubernetes, NodeCredentials, Notifier, Random, Sts, Time,
    Waited, WatchLines,
};
pub use crate::redirect::address::{
    AddressEnsured, AddressEvent, AddressRepair, CredentialsAddress, remove as remove_credentials_address,
};
pub use crate::redirect::command::{
    CredentialsAddressing, OldRules, Printed, RedirectCommand, run as run_redirect_command,
};
pub use crate::redirect::{
    Ensured, Redirect, RedirectError, RedirectEvent, RedirectOutcome, Removed, WatchContext, remove as remove_redirect,
    status as redirect_status,
};
pub use crate::server::{
    BodyLength, ChunkedBody, ConnectionEvent, Drained, Endpoints, Front, Handler, Head, HttpVersion, Limits, LocalPods,
    Observer, Persistence, Server, bind, read_head, worth_parsing_again,
};
pub use crate::telemetry::{InPlace, Metrics};
