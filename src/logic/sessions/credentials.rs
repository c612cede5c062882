//! Temporary credentials as AWS gives them.

mod document;
mod life;
mod render;

pub use document::{DocumentFailure, read_container_document, read_instance_document};
pub use life::{lease_for, lease_until};
pub use render::RenderedCredentials;

use crate::logic::base::secret::Secret;
use crate::logic::base::time::Wall;

/// A key pair with its session token and the moment from which AWS refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
    /// Absent only for a user's long-lived keys, which may come from the environment.
    pub session_token: Option<Secret<String>>,
    /// `None`: these don't expire.
    pub expiration: Option<Wall>,
}
