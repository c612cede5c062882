//! Credentials from a local container endpoint: the ECS agent, the EKS Pod Identity Agent. Never through a proxy.

use std::time::Duration;

use ureq::Agent;
use zeroize::Zeroizing;

use super::{CredentialSource, Fetched, none};
use crate::clients::exchange::{phases, read_body, within};
use crate::clients::http::{AgentOptions, Misconfigured, ProxyUse, TlsOptions, agent, cause, retry_if_disconnected};
use crate::logic::base::secret::Secret;
use crate::logic::sessions::credentials::{DocumentFailure, read_container_document};
use crate::logic::sts::StsFailure;
use crate::logic::sts::environment::{Container, ContainerToken};
use crate::os::files::read_text;

pub(super) struct ContainerEndpoint {
    container: Container,
    agent: Agent,
}

impl ContainerEndpoint {
    pub(super) fn new(container: Container) -> Result<Self, Misconfigured> {
        let agent = agent(&AgentOptions {
            proxy: ProxyUse::None,
            tls: TlsOptions::public("the container endpoint"),
            limits: phases(TOTAL),
            idle_connections: 0,
        })?;
        Ok(Self { container, agent })
    }

    /// The raw value of `Authorization`. A token file is read each time, since it is replaced regularly.
    fn token(&self) -> Result<Option<Secret<String>>, StsFailure> {
        let token = match &self.container.token {
            ContainerToken::Absent => return Ok(None),
            ContainerToken::Value(token) => token.clone(),
            ContainerToken::File(file) => read_text(file).map_err(|cause| none("NoContainerToken", cause))?,
        };
        if token.expose().contains(['\r', '\n']) {
            return Err(none(
                "NoContainerToken",
                "the container authorization token has more than one line".to_owned(),
            ));
        }
        Ok(Some(token))
    }

    fn ask(&self, token: Option<&Secret<String>>, total: Duration) -> Result<(u16, Zeroizing<Vec<u8>>), StsFailure> {
        let url = self.container.url.to_string();
        let unreached = |cause: String| none("NoContainerEndpoint", format!("failed to read `{url}`: {cause}"));
        let send = || {
            let mut request = self.agent.get(&url).header("accept", "application/json");
            if let Some(token) = token {
                request = request.header("authorization", token.expose());
            }
            within(request, total).call()
        };
        let response = retry_if_disconnected(send).map_err(|error| unreached(cause(&error)))?;
        let status = response.status().as_u16();
        Ok((status, read_body(response, MAX_DOCUMENT_BYTES).map_err(unreached)?))
    }
}

impl CredentialSource for ContainerEndpoint {
    fn fetch(&self, timeout: Duration) -> Result<Fetched, StsFailure> {
        let token = self.token()?;
        let (status, body) = self.ask(token.as_ref(), timeout.min(TOTAL))?;
        let document = std::str::from_utf8(&body).unwrap_or_default();
        match read_container_document(document, token.as_ref()) {
            Ok(credentials) if status == 200 => Ok(Fetched { credentials, life: None }),
            Err(DocumentFailure { code, message }) if status == 200 || code != "Unreadable" => {
                Err(none(&code, message))
            }
            _ => {
                let message = format!("failed to read `{}`: it answered with status {status}", self.container.url);
                Err(none("NoContainerCredentials", message))
            }
        }
    }

    fn describe(&self) -> String {
        format!("container endpoint `{}`", self.container.url)
    }
}

/// botocore allows three attempts of 2 s, the Rust SDK one of 7 s.
const TOTAL: Duration = Duration::from_secs(5);
/// Bytes; a document has 2 KiB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
