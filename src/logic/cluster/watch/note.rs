//! What a watch reports.

use std::fmt;
use std::time::Duration;

use super::SILENCE;
use crate::logic::cluster::kubernetes::{KubernetesFailure, Unreadable};

/// What is worth a log line or a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchNote {
    /// The World is whole.
    Listed { items: usize, unreadable: usize },
    /// A watch was established.
    Watching,
    /// A frame was understood: the World is as new as this moment.
    Heard,
    /// An established watch ended and is resumed after `rest`.
    Ended { cause: Option<String>, rest: Duration },
    /// The server gave no usable answer, for the `nth` time in a row in this way; the same is tried after `rest`.
    BackedOff { failure: KubernetesFailure, rest: Duration, nth: u32 },
    /// The World is listed anew after `rest`.
    Relisting { why: Relist, rest: Duration },
    /// An object was skipped: count each, and log those not logged before.
    Unreadable { object: Unreadable, logged: Logged },
}

/// Whether something was logged before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    No,
    Before,
}

/// Why a watch can't go on from its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relist {
    /// 410 in either form; the server's words.
    Gone(String),
    /// The server reported errors in a row; its words.
    Failed(String),
    /// A line could not be read, and may have been of any object; what is wrong with it.
    Unreadable(String),
    /// Objects that could not be read were forgotten.
    Forgotten,
    /// Nothing was heard for [`SILENCE`].
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
