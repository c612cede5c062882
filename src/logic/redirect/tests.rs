use super::*;

#[test]
fn metadata_addresses_stand_once_and_lead_to_the_agent_of_their_family() {
    let [v4, v6]: [IpAddr; 2] = ["10.9.9.9", "fd00::9"].map(|text| text.parse().unwrap());
    let metadata = Metadata::of([v4, v6, v4, v6, METADATA_V4.into(), METADATA_V6.into()]);
    assert_eq!(metadata.v4(), [METADATA_V4, "10.9.9.9".parse().unwrap()]);
    assert_eq!(metadata.v6, [METADATA_V6, "fd00::9".parse::<Ipv6Addr>().unwrap()]);
    let wanted = |agent_v6: Option<&str>| Wanted {
        metadata: metadata.clone(),
        agent_v4: Some("10.0.0.5:8181".parse().unwrap()),
        agent_v6: agent_v6.map(|agent| agent.parse().unwrap()),
        scope: InterfaceScope::default(),
        other_ports: OtherPorts::Drop,
    };
    let [agent_v4, agent_v6] = ["10.0.0.5:8181", "[fd00::5]:8181"].map(|agent| agent.parse::<SocketAddr>().unwrap());
    assert_eq!(wanted(Some("[fd00::5]:8181")).agents(), [agent_v4, agent_v6]);
    assert_eq!(wanted(None).redirected(), [(METADATA_V4.into(), agent_v4), (v4, agent_v4)]);
    let both = wanted(Some("[fd00::5]:8181")).redirected();
    assert_eq!(both[2..], [(METADATA_V6.into(), agent_v6), (v6, agent_v6)]);
}
