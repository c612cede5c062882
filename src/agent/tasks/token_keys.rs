//! The thread that reads the keys of the cluster's ServiceAccount tokens: at start, every hour, and when a token has an
//! unknown key.

use std::time::Duration;

use log::{debug, info, warn};

use crate::agent::state::AgentState;
use crate::logic::base::backoff::{Backoff, share};
use crate::state::issuer_keys::{IssuerKeyring, KeyNews, KeysRead};

/// Reads the keys until shutdown; returns at once without `--container-credentials`.
pub(crate) fn read_keys(agent: &AgentState) {
    let (Some(keys), Some(discovery)) = (&agent.issuer_keys, &agent.issuer_discovery) else { return };
    let mut backoff = Backoff::default();
    while !keys.is_closed() {
        let wanted = keys.wanted();
        keys.begin();
        let outcome = keys.finish(discovery.issuer_documents());
        let rest = match &outcome {
            KeysRead::Good(_) => {
                backoff.reset();
                keep(keys);
                HOUR - share(SPREAD, agent.random.number())
            }
            KeysRead::Failed { .. } => backoff.next(None, agent.random.number()),
        };
        log(agent, keys, &outcome);
        keys.wait_until_wanted(wanted, agent.clock.now().mono.after(rest));
    }
}

fn keep(keys: &IssuerKeyring) {
    if let Err(cause) = keys.keep() {
        warn!("the keys of ServiceAccount tokens can't be stored for the next start: {cause}");
    }
}

fn log(agent: &AgentState, keys: &IssuerKeyring, outcome: &KeysRead) {
    let server = agent.kubernetes.server();
    match outcome {
        KeysRead::Good(KeyNews::None) => debug!("read the keys of ServiceAccount tokens"),
        KeysRead::Good(KeyNews::Changed | KeyNews::Recovered) => {
            let Some(issuer) = keys.known().issuer else { return };
            let ids: Vec<&str> = issuer.keys.ids().collect();
            info!(
                "issuer" = issuer.name.as_str(), "keys" = ids.len();
                "read the keys of ServiceAccount tokens: {}", ids.join(", ")
            );
        }
        KeysRead::Failed { cause, is_news: false, .. } => debug!("server" = server; "{cause}"),
        KeysRead::Failed { cause, is_forbidden, .. } => {
            let action = if *is_forbidden { FORBIDDEN } else { "" };
            let effect = match keys.known().issuer {
                Some(_) => "tokens are checked with the keys known before",
                None => "container credentials are refused (keys_unknown)",
            };
            warn!("server" = server; "{cause} (API server `{server}`){action}; {effect}");
        }
    }
}

/// The rule a ClusterRole needs where the default binding for every ServiceAccount is missing.
const FORBIDDEN: &str = "; let the agent's ClusterRole get the nonResourceURLs `/openid/v1/jwks` and \
                         `/.well-known/openid-configuration`";
const HOUR: Duration = Duration::from_secs(3_600);
/// Jitter, so that the agents of a cluster don't read at the same time.
const SPREAD: Duration = Duration::from_secs(600);
