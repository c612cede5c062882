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
mod tests {
    use super::*;
    use crate::logic::redirect::resolve::{HostNetwork, resolve};
    use crate::logic::redirect::{RedirectSpec, interfaces::InterfaceRule};

    fn wanted() -> Wanted {
        let spec = RedirectSpec {
            host_ip: Some([10, 0, 0, 1].into()),
            interfaces: InterfaceRule::parse(&["cni0"]).unwrap(),
            ..RedirectSpec::new(8181)
        };
        resolve(&spec, &HostNetwork::default()).unwrap().wanted
    }

    #[test]
    fn missing_capability_is_named_and_has_its_own_exit_code() {
        let error = RedirectError::of_nftables(Errno::PERM);
        let text = error.to_string();
        assert!(text.starts_with("failed to program `inet kube2iam`: the capability NET_ADMIN is missing; "), "{text}");
        assert!(text.contains("capabilities.add"), "{text}");
        assert_eq!(error.exit_code(), 77);
    }

    #[test]
    fn error_without_nftables_contains_the_iptables_commands() {
        let text = "failed to program `inet kube2iam`: the kernel has no nf_tables with NAT for inet (Linux 5.2), \
                    add by hand: iptables -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i cni0 \
                    -j DNAT --to-destination 10.0.0.1:8181; iptables -I FORWARD -d 169.254.169.254 -j DROP; \
                    ip6tables -I FORWARD -d fd00:ec2::254 -j DROP";
        for cause in [Errno::PROTONOSUPPORT, Errno::OPNOTSUPP, Errno::INVAL] {
            let error = RedirectError::of_nftables(cause).with_lines(&wanted());
            assert_eq!((error.to_string().as_str(), error.exit_code()), (text, 1));
        }
        let refused = NetlinkRefusal { cause: Errno::NOENT, message: 5 };
        assert_eq!(RedirectError::writing(refused, &wanted()).to_string(), text);
    }

    #[test]
    fn other_refusals_name_the_operation() {
        let refused = NetlinkRefusal { cause: Errno::BUSY, message: 2 };
        let text = RedirectError::writing(refused, &wanted()).to_string();
        assert!(text.starts_with("failed to write `inet kube2iam`: "), "{text}");
    }
}
