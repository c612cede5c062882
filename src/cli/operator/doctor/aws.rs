//! Checks of the metadata service, STS, the node's own credentials, and roles.

use std::sync::Arc;
use std::time::Duration;

use super::{Checks, DoctorContext};
use crate::agent::wiring::{self, session_rules};
use crate::cli::operator::Failure;
use crate::clients::imds::{MetadataService, discovery};
use crate::clients::node_credentials::NONE_NEEDED;
use crate::clients::sts::StsWire;
use crate::config::{BaseSource, DefaultRoleSource};
use crate::logic::base::time::Wall;
use crate::logic::operator::doctor::{Finding, of_clock, of_denied_role, of_versions};
use crate::logic::policy::arn::{BaseArn, RoleArn};
use crate::logic::sessions::session::{CallsBear, Tags};
use crate::logic::sts::AssumeRole;
use crate::logic::sts::environment::NodeSource;
use crate::ports::NodeCredentials;
use crate::ports::{Imds, Sts};

pub(super) fn check(context: &DoctorContext, checks: &mut Checks<'_>) -> Result<(), Failure> {
    let authority = context.config.metadata.own.to_string();
    let service = match wiring::metadata_service(&authority, &context.clock) {
        Ok(service) => service,
        Err(error) => return checks.check("metadata service", || Finding::fail(error.to_string())),
    };
    checks.check("metadata service", || metadata(context, &service))?;
    let imds: Arc<dyn Imds> = service;
    checks.check("region", || region(context, &*imds))?;
    let mut base = None;
    if needs_base(context) {
        checks.check("roles", || roles(context, &*imds, &mut base))?;
    }
    let wire = match wiring::sts_wire(&context.environment, &imds, &context.clock) {
        Ok(wire) => wire,
        Err(error) => return checks.check("STS", || Finding::fail(error.to_string())),
    };
    let mut theirs = None;
    checks.check("STS", || reach(&wire, &mut theirs))?;
    if let Some(theirs) = theirs {
        checks.check("clock", || of_clock(context.clock.now().wall, theirs))?;
    }
    match wiring::sts(&context.config, &imds, &wire, &context.environment, &context.clock) {
        Ok((sts, credentials)) => sessions(context, checks, &*sts, &*credentials, base.as_ref()),
        Err(error) => checks.check("node credentials", || Finding::fail(error.to_string())),
    }
}

/// Checks the node's own credentials and what they allow.
fn sessions(
    context: &DoctorContext,
    checks: &mut Checks<'_>,
    sts: &dyn Sts,
    credentials: &dyn NodeCredentials,
    base: Option<&BaseArn>,
) -> Result<(), Failure> {
    if context.config.sts.bearing == CallsBear::PodToken {
        return tokens_only(context, checks);
    }
    let mut held = false;
    checks.check("node credentials", || match credentials.current(PATIENCE) {
        Ok(_) => {
            held = true;
            let until = credentials.expiration().map(|end| format!(", valid until {}", end.rfc3339()));
            Finding::ok(format!("of {}{}", credentials.describe(), until.unwrap_or_default()))
        }
        Err(failure) => Finding::fail(format!("none from {}: {failure}", credentials.describe())),
    })?;
    if !held {
        return Ok(());
    }
    let mut caller = None;
    checks.check("caller identity", || match sts.caller_identity() {
        Ok(arn) => {
            caller = Some(arn.clone());
            Finding::ok(format!("{arn} (GetCallerIdentity)"))
        }
        Err(failure) => Finding::fail(format!("{failure}; no role can be assumed with them")),
    })?;
    for role in &context.asked.roles {
        checks.check(&format!("role {role}"), || try_role(context, sts, role, base, caller.as_deref()))?;
    }
    Ok(())
}

/// Calls aren't signed, and only a pod's token can show whether a role trusts it.
fn tokens_only(context: &DoctorContext, checks: &mut Checks<'_>) -> Result<(), Failure> {
    checks.check("node credentials", || Finding::ok(NONE_NEEDED))?;
    for role in &context.asked.roles {
        checks.check(&format!("role {role}"), || {
            Finding::warn(
                "can't be tried: calls carry the pods' own tokens; `kube2iam explain NAMESPACE/POD` shows STS's response to a pod's token",
            )
        })?;
    }
    Ok(())
}

fn metadata(context: &DoctorContext, service: &MetadataService) -> Finding {
    match service.versions() {
        Ok(versions) => of_versions(versions),
        Err(failure) if needs_metadata(context) => Finding::fail(format!(
            "{failure}; the agent needs it: look at --metadata-addr, at a firewall, and whether the instance's \
             metadata is switched on"
        )),
        Err(failure) => Finding::warn(format!("{failure}; pods get 502 for metadata other than credentials")),
    }
}

/// Whether the agent needs any value from the metadata service.
fn needs_metadata(context: &DoctorContext) -> bool {
    let is_source = || matches!(context.environment.node_source(), Ok(NodeSource::InstanceRole));
    context.environment.region.is_none()
        || (context.config.sts.bearing == CallsBear::NodeSignature && is_source())
        || context.config.roles.base == BaseSource::Discover
        || context.config.roles.default_role == DefaultRoleSource::Discover
}

fn region(context: &DoctorContext, imds: &dyn Imds) -> Finding {
    match &context.environment.region {
        Some(region) => Finding::ok(format!("{region}, by AWS_REGION or AWS_DEFAULT_REGION")),
        None => match discovery::region(imds) {
            Ok(region) => Finding::ok(format!("{region}, by the metadata service")),
            Err(failure) => Finding::fail(format!("{failure}; set AWS_REGION")),
        },
    }
}

fn needs_base(context: &DoctorContext) -> bool {
    let roles = &context.config.roles;
    !context.asked.roles.is_empty()
        || roles.base == BaseSource::Discover
        || roles.default_role == DefaultRoleSource::Discover
}

/// The base of role names, and the default role if it is the node's.
fn roles(context: &DoctorContext, imds: &dyn Imds, found: &mut Option<BaseArn>) -> Finding {
    let base = match &context.config.roles.base {
        BaseSource::None => BaseArn::default(),
        BaseSource::Given(base) => base.clone(),
        BaseSource::Discover => match discovery::base_arn(imds) {
            Ok(base) => base,
            Err(failure) => return Finding::fail(format!("{failure}; give --base-role-arn instead")),
        },
    };
    let shown = if base.as_str().is_empty() { "no base".to_owned() } else { format!("base {}", base.as_str()) };
    *found = Some(base);
    if context.config.roles.default_role != DefaultRoleSource::Discover {
        return Finding::ok(shown);
    }
    match discovery::role_name(imds) {
        Ok(name) => Finding::ok(format!("{shown}, default role {name}")),
        Err(failure) => Finding::fail(format!("{failure}; give --default-role instead")),
    }
}

/// Any response will do, because the request isn't signed.
fn reach(wire: &StsWire, theirs: &mut Option<Wall>) -> Finding {
    let place = match wire.endpoint(None) {
        Ok(endpoint) => endpoint.url,
        Err(failure) => return Finding::fail(format!("{failure}; set AWS_REGION")),
    };
    match wire.date() {
        Ok(date) => {
            *theirs = date;
            Finding::ok(format!("answers at {place}"))
        }
        Err(failure) => Finding::fail(format!("{failure}; look at HTTPS_PROXY, the VPC endpoint and the route")),
    }
}

fn try_role(
    context: &DoctorContext,
    sts: &dyn Sts,
    name: &str,
    base: Option<&BaseArn>,
    caller: Option<&str>,
) -> Finding {
    let role = match base.unwrap_or(&BaseArn::default()).role(name) {
        Ok(role) => role,
        Err(cause) => return Finding::fail(format!("{cause}; or give --base-role-arn")),
    };
    let request = trial(context, &role);
    match sts.assume_role(&request) {
        Ok(_) => Finding::ok(format!("{role} can be assumed, as session `{}`", request.session_name)),
        Err(failure) => of_denied_role(role.as_str(), caller, &failure),
    }
}

/// A call like those for pods, tagged if those are, with the shortest duration that STS allows.
fn trial(context: &DoctorContext, role: &RoleArn) -> AssumeRole {
    let tagged = !matches!(context.config.sts.tags, Tags::None);
    let tags = if tagged { vec![("kubernetes-pod-name".to_owned(), "doctor".to_owned())] } else { Vec::new() };
    AssumeRole {
        external_id: context.asked.external_id.clone(),
        duration_s: SHORTEST_S,
        tags,
        ..session_rules(&context.config).hop(role)
    }
}

/// Limit for the node's own credentials.
const PATIENCE: Duration = Duration::from_secs(10);
/// STS's minimum, in seconds.
const SHORTEST_S: u32 = 900;
