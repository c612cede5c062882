//! Requests and responses as values. `server/wire` parses the former from bytes and writes the latter.

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
    /// Parses the method of a request line. Methods are case-sensitive (RFC 9110, section 9.1).
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

    /// The value for logs and for the metric label `method`.
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

/// A request head: the raw target and the headers that the agent uses. All other headers are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: Method,
    /// As in the request line; only `logic/request/route` interprets it
    pub target: &'a str,
    pub headers: Headers<'a>,
}

/// The headers that affect the response. Of repeated headers the first value counts, except that a second value of a
/// token header makes the token invalid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    pub host: Option<&'a [u8]>,
    pub accept: Option<&'a [u8]>,
    /// `X-aws-ec2-metadata-token`; an empty one counts as absent
    pub token: Option<&'a [u8]>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`
    pub token_ttl: Option<&'a [u8]>,
    /// Whether the request has a non-empty `X-Forwarded-For`
    pub forwarded_for: bool,
    /// `Authorization`; an empty value counts as absent, a second value makes it invalid
    pub authorization: Option<ShownToken<'a>>,
}

/// The raw `Authorization` value. It is a secret: its `Debug` output is redacted, and the owner of the buffer must
/// wipe it.
#[derive(Clone, Copy)]
pub struct ShownToken<'a>(&'a [u8]);

impl<'a> ShownToken<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, to check them.
    pub const fn expose(self) -> &'a [u8] {
        self.0
    }

    /// The token alone: SDKs send it without a scheme, and a `Bearer` prefix is accepted too. `None` if it isn't
    /// UTF-8.
    pub fn bare(self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.0).ok()?.trim();
        Some(text.strip_prefix("Bearer ").map_or(text, str::trim_start))
    }

    /// An owned copy for a call to STS that outlives the request.
    pub fn kept(self) -> Option<Secret<String>> {
        self.bare().map(|token| Secret::new(token.to_owned()))
    }
}

impl fmt::Debug for ShownToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A response. The server adds the status line, `Date`, `Content-Length` and `Connection` when it writes it.
pub struct Response {
    pub status: u16,
    pub content_type: Cow<'static, str>,
    /// Additional headers in order: name and value
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// The body of a response, or its source.
pub enum Body {
    Empty,
    Static(&'static [u8]),
    Owned(Vec<u8>),
    /// Rendered once and served many times; a secret is wiped when the last reference is dropped
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
    /// Read while it is written; chunked unless the source gives a `length`
    Stream {
        source: Box<dyn Read + Send>,
        length: Option<u64>,
    },
}

impl Body {
    /// The whole body as text; an error if the source fails or the bytes aren't UTF-8.
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
    /// A plain-text response, the type of nearly all responses of kube2iam and the metadata service.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: Cow::Borrowed(TEXT), headers: Vec::new(), body: Body::Owned(body.into()) }
    }

    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: Cow::Borrowed(TEXT), headers: Vec::new(), body: Body::Empty }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The content type that Go's content sniffing gave kube2iam's responses.
pub const TEXT: &str = "text/plain; charset=utf-8";
pub const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
