//! Temporary credentials of AWS.

mod document;
mod life;
mod render;

pub use document::{DocumentFailure, read_container_document, read_instance_document};
pub use life::{lease_for, lease_until};
pub use render::RenderedCredentials;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;

/// An access key with its session token and expiration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
    /// Absent only for a user's long-lived keys, which may come from the environment
    pub session_token: Option<Secret<String>>,
    /// `None`: the credentials don't expire
    pub expiration: Option<Wall>,
}
