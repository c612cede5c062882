//! Requests and replies as values. `edge/http/wire` turns bytes into the one and the other into bytes.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::logic::base::secret::Secret;

/// The methods that the agent treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Options,
    Patch,
    Other,
}

impl Method {
    /// Reads a method as it stands in a request line. Methods are case-sensitive (RFC 9110, section 9.1).
    pub fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// The word for logs and for the metric label `method`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Other => "OTHER",
        }
    }
}

/// A request head: the raw target and the few headers that the agent reads. Nothing else of it is ever looked at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: Method,
    /// As it stood in the request line; only `logic/route` may judge it.
    pub target: &'a str,
    pub headers: Headers<'a>,
}

/// The headers that decide something. A header that came twice counts by its first value,
/// but for the two that hold tokens, where a second value makes the token invalid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    pub host: Option<&'a [u8]>,
    pub accept: Option<&'a [u8]>,
    /// `X-aws-ec2-metadata-token`; an empty one counts as absent
    pub token: Option<&'a [u8]>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`
    pub token_ttl: Option<&'a [u8]>,
    /// Whether there was an `X-Forwarded-For` that isn't empty
    pub forwarded_for: bool,
    /// `Authorization`; an empty one counts as absent, a second value makes it unusable
    pub authorization: Option<ShownToken<'a>>,
}

/// A token as it came. It is a secret: it can't be formatted, and whoever holds the bytes wipes them.
#[derive(Clone, Copy)]
pub struct ShownToken<'a>(&'a [u8]);

impl<'a> ShownToken<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever checks them.
    pub const fn expose(self) -> &'a [u8] {
        self.0
    }

    /// The token by itself: SDKs send it so; `Bearer` before it is tolerated. `None`: it is no text.
    pub fn bare(self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.0).ok()?.trim();
        Some(text.strip_prefix("Bearer ").map_or(text, str::trim_start))
    }

    /// A copy that outlives the request, for a call that is to bear it.
    pub fn kept(self) -> Option<Secret<String>> {
        self.bare().map(|token| Secret::new(token.to_owned()))
    }
}

impl fmt::Debug for ShownToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// An answer. The status line, `Date`, `Content-Length` and `Connection` are added where it is written.
pub struct Response {
    pub status: u16,
    pub content_type: Cow<'static, str>,
    /// Further headers, in order: name and value.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// The bytes of an answer, or where they come from.
pub enum Body {
    Empty,
    Static(&'static [u8]),
    Owned(Vec<u8>),
    /// Rendered once, served many times; wiped when its last holder lets go, if the holder is a secret.
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
    /// Read while it is written; `length` where the source gave it, else chunked.
    Stream {
        source: Box<dyn Read + Send>,
        length: Option<u64>,
    },
}

impl Body {
    /// The whole of it as text; an error if its source breaks or it isn't UTF-8.
    pub fn into_text(self) -> io::Result<String> {
        match self {
            Self::Empty => Ok(String::new()),
            Self::Static(bytes) => utf8(bytes.to_vec()),
            Self::Owned(bytes) => utf8(bytes),
            Self::Shared(bytes) => utf8((*bytes).as_ref().to_vec()),
            Self::Stream { source, .. } => io::read_to_string(source),
        }
    }
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

impl Response {
    /// An answer in plain text, as kube2iam and the metadata service give nearly all of theirs.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: Cow::Borrowed(TEXT), headers: Vec::new(), body: Body::Owned(body.into()) }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: Cow::Borrowed(TEXT), headers: Vec::new(), body: Body::Empty }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What Go's content sniffing made of kube2iam's answers; kept.
pub const TEXT: &str = "text/plain; charset=utf-8";
pub const JSON: &str = "application/json";
