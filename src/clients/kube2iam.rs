//! A running kube2iam, of which `kube2iam compare` reads the one page that shows what it holds.

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
    /// The one at `url`, without a slash at its end.
    pub fn at(url: &str) -> Result<Self, Misconfigured> {
        let agent = agent(&AgentOptions {
            proxy: ProxyUse::None,
            tls: TlsOptions::public("the other agent"),
            limits: phases(TOTAL),
            idle_connections: 0,
        })?;
        Ok(Self { agent, page: format!("{url}/debug/store") })
    }

    /// What it holds now; the error says what to do.
    pub fn store(&self) -> Result<Store, String> {
        let page = &self.page;
        let failed = |cause: &str| format!("failed to read `{page}`: {cause}");
        let response = self.agent.get(page).call().map_err(|error| failed(&cause(&error)))?;
        let status = response.status();
        if status != 200 {
            // without --debug the request goes on to the metadata service, which knows no such page
            return Err(failed(&format!("{status}; start that kube2iam with --debug, which serves it")));
        }
        let body = read_body(response, LONGEST_PAGE).map_err(|cause| failed(&cause))?;
        Store::read(&body)
            .map_err(|cause| failed(&format!("{cause}; start that kube2iam with --debug, which serves it")))
    }
}

/// Of 50,000 pods it has to copy every annotation.
const TOTAL: Duration = Duration::from_secs(20);
/// Some 100 bytes for a pod.
const LONGEST_PAGE: usize = 32 * 1024 * 1024;
