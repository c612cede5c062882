//! Reports of a watch.

use std::fmt;
use std::time::Duration;

use super::SILENCE;
use crate::logic::cluster::kubernetes::{KubernetesFailure, Unreadable};

/// An event worth a log line or a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchNote {
    /// A list was completed
    Listed { items: usize, unreadable: usize },
    /// A watch was established.
    Watching,
    /// A frame was parsed: the World is current as of now
    Heard,
    /// An established watch ended and is resumed after `rest`.
    Ended { cause: Option<String>, rest: Duration },
    /// The server returned no usable response, for the `nth` consecutive time with this class; the step is retried
    /// after `rest`
    BackedOff { failure: KubernetesFailure, rest: Duration, nth: u32 },
    /// The resource is listed again after `rest`
    Relisting { why: Relist, rest: Duration },
    /// An object was skipped: count each, log only new ones
    Unreadable { object: Unreadable, logged: Logged },
}

/// Whether the object was logged before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    No,
    Before,
}

/// Why a watch can't be resumed from its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relist {
    /// A 410 as status or error object, with the server's message
    Gone(String),
    /// Consecutive error objects, with the last message
    Failed(String),
    /// A line could not be parsed and may concern any object; the cause
    Unreadable(String),
    /// The state of unparsable objects was forgotten
    Forgotten,
    /// No events for [`SILENCE`]
    Silence,
}

impl fmt::Display for Relist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(message) => write!(f, "its version is too old: {message}"),
            Self::Failed(message) => write!(f, "the server reported errors in a row: {message}"),
            Self::Unreadable(why) => write!(f, "a line can't be read: {why}"),
            Self::Forgotten => f.write_str("objects that could not be read were forgotten"),
            Self::Silence => write!(f, "nothing came for {} s", SILENCE.as_secs()),
        }
    }
}
