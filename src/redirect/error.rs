//! Errors of the redirect.

use std::fmt;

use rustix::io::Errno;

use crate::logic::redirect::resolve::NoHostAddress;
use crate::logic::redirect::{TABLE, Wanted, leftover};

use super::socket::NetlinkRefusal;

/// `EX_NOPERM` of sysexits.h.
const EXIT_NO_PERMISSION: u8 = 77;
const EXIT_FAILURE: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectError {
    /// The process lacks the capability to change the network.
    NoNetAdmin,
    /// Reading needs the capability too: nf_tables shows rules only to processes that may change them.
    MayNotRead,
    /// The kernel lacks support; `by_hand` holds equivalent iptables commands, where known.
    NoNftables {
        by_hand: Vec<String>,
    },
    NoHostAddress(NoHostAddress),
    /// Any other error of the kernel.
    Kernel {
        verb: &'static str,
        object: String,
        cause: Errno,
    },
}

impl RedirectError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoNetAdmin | Self::MayNotRead => EXIT_NO_PERMISSION,
            Self::NoNftables { .. } | Self::NoHostAddress(_) | Self::Kernel { .. } => EXIT_FAILURE,
        }
    }

    /// The error of the first request to nf_tables. The errno depends on whether netlink, its netfilter family or
    /// nf_tables is missing.
    pub(super) fn of_nftables(cause: Errno) -> Self {
        match cause {
            Errno::PERM => Self::NoNetAdmin,
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::INVAL => {
                Self::NoNftables { by_hand: Vec::new() }
            }
            cause => Self::reading(cause),
        }
    }

    pub(super) fn reading(cause: Errno) -> Self {
        Self::Kernel { verb: "read", object: format!("inet {TABLE}"), cause }
    }

    /// A refused batch. A missing chain type or expression is reported as `ENOENT`.
    pub(super) fn writing(refused: NetlinkRefusal, wanted: &Wanted) -> Self {
        match refused.cause {
            Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => {
                Self::NoNftables { by_hand: leftover::by_hand(wanted) }
            }
            cause => Self::Kernel { verb: "write", object: format!("inet {TABLE}"), cause },
        }
    }

    /// A refused batch for a table without equivalent iptables commands.
    pub(super) fn writing_table(refused: NetlinkRefusal, table: &str) -> Self {
        match refused.cause {
            Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => Self::NoNftables { by_hand: Vec::new() },
            cause => Self::Kernel { verb: "write", object: format!("inet {table}"), cause },
        }
    }

    /// Converts the error for a read-only operation.
    pub(super) fn while_reading(self) -> Self {
        match self {
            Self::NoNetAdmin => Self::MayNotRead,
            other => other,
        }
    }

    /// Adds the iptables commands to an error found before the addresses were known.
    pub(super) fn with_lines(self, wanted: &Wanted) -> Self {
        match self {
            Self::NoNftables { .. } => Self::NoNftables { by_hand: leftover::by_hand(wanted) },
            other => other,
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetAdmin => write!(
                f,
                "failed to program `inet {TABLE}`: the capability NET_ADMIN is missing; give it to the container \
                 (securityContext.capabilities.add), or run this as root"
            ),
            Self::MayNotRead => write!(
                f,
                "failed to read `inet {TABLE}`: the kernel shows it only with the capability NET_ADMIN; use `sudo kube2iam \
                 redirect status` on the node, or `kubectl debug node/NODE -it --profile=netadmin --image=IMAGE -- \
                 kube2iam redirect status`"
            ),
            Self::NoNftables { by_hand } => {
                write!(
                    f,
                    "failed to program `inet {TABLE}`: the kernel has no nf_tables with NAT for inet (Linux 5.2)"
                )?;
                let lines = by_hand.join("; ");
                if lines.is_empty() { Ok(()) } else { write!(f, ", add by hand: {lines}") }
            }
            Self::NoHostAddress(cause) => cause.fmt(f),
            Self::Kernel { verb, object, cause } => write!(f, "failed to {verb} `{object}`: {cause}"),
        }
    }
}

impl std::error::Error for RedirectError {}

#[cfg(test)]
mod tests;
