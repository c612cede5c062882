//! Reads the issuer of ServiceAccount tokens. A default binding of Kubernetes
//! (`system:service-account-issuer-discovery`) permits every ServiceAccount to read it.

use super::{ApiServer, CallKind, named, unavailable};
use crate::clients::http::cause;
use crate::logic::cluster::kubernetes::KubernetesFailure;
use crate::logic::identity::issuer::{IssuerDocuments, LONGEST_DOCUMENT};
use crate::ports::IssuerDiscovery;

impl IssuerDiscovery for ApiServer {
    fn issuer_documents(&self) -> Result<IssuerDocuments, KubernetesFailure> {
        Ok(IssuerDocuments { configuration: self.document(CONFIGURATION)?, key_set: self.document(KEY_SET)? })
    }
}

impl ApiServer {
    fn document(&self, path: &str) -> Result<String, KubernetesFailure> {
        let read = self.get_as(ACCEPT, &format!("{}{path}", self.server), CallKind::List).and_then(|response| {
            let body = response.into_body().into_with_config().limit(LONGEST_DOCUMENT as u64).read_to_vec();
            let body = body.map_err(|error| unavailable(cause(&error)))?;
            String::from_utf8(body).map_err(|_| unavailable("it isn't UTF-8".to_owned()))
        });
        read.map_err(|failure| named("get", path, failure))
    }
}

/// The API server serves key sets only as this type.
const ACCEPT: &str = "application/jwk-set+json, application/json";
const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEY_SET: &str = "/openid/v1/jwks";
