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
