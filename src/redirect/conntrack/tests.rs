use super::*;

fn tuple(source: &str, destination: &str, source_port: u16) -> Attributes {
    tuple_at(source, destination, source_port, 80)
}

fn tuple_at(source: &str, destination: &str, source_port: u16, port: u16) -> Attributes {
    let octets = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let v6 = if source.contains(':') { 2 } else { 0 };
    let ip = Attributes::new().bytes(SOURCE_V4 + v6, &octets(source)).bytes(DESTINATION_V4 + v6, &octets(destination));
    let protocol = Attributes::new().bytes(1, &[6]).bytes(SOURCE_PORT, &source_port.to_be_bytes());
    let protocol = protocol.bytes(DESTINATION_PORT, &port.to_be_bytes());
    Attributes::new().nest(TUPLE_IP, ip).nest(TUPLE_PROTOCOL, protocol)
}

fn is_stale(source: &str, destination: &str, answers: (&str, u16)) -> bool {
    let list = Attributes::new()
        .nest(ORIGINAL, tuple(source, destination, 40_000))
        .nest(REPLY, tuple(answers.0, source, answers.1));
    let entry = NetlinkMessage::new(0, 0, &[], list).body;
    let metadata = ["169.254.169.254".parse().unwrap(), "fd00:ec2::254".parse().unwrap()];
    let own = ["10.0.0.1".parse().unwrap()];
    let agents = ["10.0.0.1:8181".parse().unwrap(), "[fd00::1]:8181".parse().unwrap()];
    let rule = Stale { metadata: &metadata, port: None, own: &own, agents: &agents };
    rule.matches(&entry)
}

#[test]
fn only_pods_connections_to_the_real_service_are_stale() {
    assert!(is_stale("10.1.0.7", "169.254.169.254", ("169.254.169.254", 80)));
    assert!(!is_stale("10.1.0.7", "169.254.169.254", ("10.0.0.1", 8181)));
    assert!(is_stale("10.1.0.7", "169.254.169.254", ("10.0.0.1", 9999)));
    assert!(!is_stale("10.0.0.1", "169.254.169.254", ("169.254.169.254", 80)));
    assert!(!is_stale("10.1.0.7", "10.96.0.1", ("10.0.0.9", 443)));
    assert!(is_stale("fd01::7", "fd00:ec2::254", ("fd00:ec2::254", 80)));
    assert!(!is_stale("fd01::7", "fd00:ec2::254", ("fd00::1", 8181)));
}

#[test]
fn connections_to_other_ports_are_kept() {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let agents = [SocketAddr::new(loopback, 8181)];
    let rule = Stale { metadata: &[loopback], port: Some(8181), own: &[], agents: &agents };
    for (port, answers, stale) in
        [(8181, ("10.1.0.9", 8181), true), (8181, ("127.0.0.1", 8181), false), (9, ("10.1.0.9", 9), false)]
    {
        let list = Attributes::new()
            .nest(ORIGINAL, tuple_at("127.0.0.1", "127.0.0.1", 40_000, port))
            .nest(REPLY, tuple(answers.0, "127.0.0.1", answers.1));
        let entry = NetlinkMessage::new(0, 0, &[], list).body;
        assert_eq!(rule.matches(&entry), stale, "{port}, answered by {answers:?}");
    }
}

#[test]
fn unparsable_entry_is_kept() {
    let rule = Stale { metadata: &["169.254.169.254".parse().unwrap()], port: None, own: &[], agents: &[] };
    assert!(!rule.matches(&[]));
    assert!(!rule.matches(&[9, 0, 1, 0, 1]));
}
