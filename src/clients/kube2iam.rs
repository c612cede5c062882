//! Client of another running kube2iam: reads `/debug/store` for `kube2iam compare`.

use std::time::Duration;

use ureq::Agent;

use super::exchange::{phases, read_body};
use crate::clients::http::{AgentOptions, Misconfigured, ProxyUse, TlsOptions, agent, cause};
use crate::logic::operator::compare::Store;

/// The other agent.
pub struct Kube2iam {
    agent: Agent,
    page: String,
}

impl Kube2iam {
    /// The agent at `url`, which has no trailing slash.
    pub fn at(url: &str) -> Result<Self, Misconfigured> {
        let agent = agent(&AgentOptions {
            proxy: ProxyUse::None,
            tls: TlsOptions::public("the other agent"),
            limits: phases(TOTAL),
            idle_connections: 0,
        })?;
        Ok(Self { agent, page: format!("{url}/debug/store") })
    }

    /// Its current store; an error includes what to do.
    pub fn store(&self) -> Result<Store, String> {
        let page = &self.page;
        let failed = |cause: &str| format!("failed to read `{page}`: {cause}");
        let response = self.agent.get(page).call().map_err(|error| failed(&cause(&error)))?;
        let status = response.status();
        if status != 200 {
            // without --debug the request is forwarded to the metadata service, which has no such page
            return Err(failed(&format!("{status}; start that kube2iam with --debug, which serves it")));
        }
        let body = read_body(response, MAX_PAGE_BYTES).map_err(|cause| failed(&cause))?;
        Store::read(&body)
            .map_err(|cause| failed(&format!("{cause}; start that kube2iam with --debug, which serves it")))
    }
}

/// With 50,000 pods, the other agent copies every annotation.
const TOTAL: Duration = Duration::from_secs(20);
/// Bytes; about 100 per pod.
const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;
