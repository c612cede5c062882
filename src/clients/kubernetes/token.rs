//! The bearer token. The kubelet replaces a service account's token file well before the token expires, so the file is
//! read again at most once a minute, and immediately when the server rejects the token.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use log::warn;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::connection::Auth;
use super::unavailable;
use crate::logic::base::secret::Secret;
use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::KubernetesFailure;

/// The source of tokens, and the last one read.
pub(super) struct BearerTokens {
    auth: Auth,
    last: Mutex<Option<KnownToken>>,
    /// Why the file can't be read; logged once
    trouble: Mutex<Option<String>>,
}

#[derive(Clone)]
struct KnownToken {
    token: Secret<String>,
    at: Mono,
}

impl BearerTokens {
    pub(super) fn new(auth: Auth) -> Self {
        Self { auth, last: Mutex::new(None), trouble: Mutex::new(None) }
    }

    /// Whether reading again may return another token.
    pub(super) fn may_change(&self) -> bool {
        matches!(self.auth, Auth::TokenFile(_))
    }

    /// The token to send now; `None` if there is none.
    pub(super) fn current(&self, now: Mono) -> Result<Option<Secret<String>>, KubernetesFailure> {
        match &self.auth {
            Auth::None => Ok(None),
            Auth::Token(token) => Ok(Some(token.clone())),
            Auth::TokenFile(_) => match self.last() {
                Some(last) if now.since(last.at) < REREAD_AFTER => Ok(Some(last.token)),
                _ => self.reread(now),
            },
        }
    }

    /// Reads the file now. While it can't be read, the last token stays in use.
    pub(super) fn reread(&self, now: Mono) -> Result<Option<Secret<String>>, KubernetesFailure> {
        let Auth::TokenFile(path) = &self.auth else { return self.current(now) };
        match read_token(path) {
            Ok(token) => {
                *self.last.lock() = Some(KnownToken { token: token.clone(), at: now });
                *self.trouble.lock() = None;
                Ok(Some(token))
            }
            Err(error) => {
                let trouble = format!("failed to read `{}`: {error}", path.display());
                let Some(last) = self.last() else { return Err(unavailable(trouble)) };
                if self.trouble.lock().replace(trouble.clone()).as_ref() != Some(&trouble) {
                    warn!("going on with the last usable token: {trouble}");
                }
                Ok(Some(last.token))
            }
        }
    }

    /// Returns a copy, so that the lock isn't held during IO or another lock.
    fn last(&self) -> Option<KnownToken> {
        self.last.lock().clone()
    }
}

/// Reads a token from a file, without the white space around it.
pub(super) fn read_token(path: &Path) -> io::Result<Secret<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?.take(TOKEN_BYTES).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
        token => Ok(Secret::new(token.to_owned())),
    }
}

/// client-go's interval.
const REREAD_AFTER: Duration = Duration::from_secs(60);
/// Bytes. Tokens are below 4 KiB.
const TOKEN_BYTES: u64 = 16 * 1024;
