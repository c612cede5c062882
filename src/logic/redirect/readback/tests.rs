use super::*;
use crate::logic::redirect::compare::differences;
use crate::logic::redirect::ruleset;

fn found(wanted: &Wanted) -> FoundTable {
    FoundTable::as_written(&ruleset::chains(wanted), 1)
}

fn cases() -> Vec<Wanted> {
    let pattern = |name: &str| InterfacePattern::parse(name).unwrap();
    let exempt = [("eth+", ExemptReason::Excepted), ("eth0", ExemptReason::Uplink), ("lo", ExemptReason::Loopback)];
    let exempt = exempt.map(|(name, reason)| Exempt { pattern: pattern(name), reason });
    let further: [IpAddr; 2] = ["10.9.9.9".parse().unwrap(), "fd99::9".parse().unwrap()];
    let mut cases = Vec::new();
    for (v4, v6, count) in [(true, true, 2), (true, true, 0), (true, false, 1), (false, true, 0), (false, false, 2)] {
        for exempt in [&exempt[..0], &exempt[2..], &exempt] {
            for redirected in [&[][..], &["cni0"], &["cali+", "cni0"]] {
                for other_ports in [OtherPorts::Drop, OtherPorts::Pass] {
                    let redirected = redirected.iter().map(|name| pattern(name)).collect();
                    cases.push(Wanted {
                        metadata: Metadata::of(further[..count].iter().copied()),
                        agent_v4: v4.then(|| "10.0.0.1:8181".parse().unwrap()),
                        agent_v6: v6.then(|| "[fd00::1]:8181".parse().unwrap()),
                        scope: InterfaceScope { exempt: exempt.to_vec(), redirected },
                        other_ports,
                    });
                }
            }
        }
    }
    cases
}

#[test]
fn a_written_table_is_read_back() {
    for wanted in cases() {
        assert_eq!(read_back(&found(&wanted)), Some(wanted));
    }
}

#[test]
fn any_missing_rule_is_detected() {
    for wanted in cases() {
        let table = found(&wanted);
        for (chain, rule) in (0..table.chains.len()).flat_map(|c| (0..table.chains[c].rules.len()).map(move |r| (c, r)))
        {
            let mut broken = table.clone();
            broken.chains[chain].rules.remove(rule);
            let whole =
                read_back(&broken).is_some_and(|claim| differences(&ruleset::chains(&claim), &broken).is_empty());
            assert!(!whole, "chain {chain} without rule {rule} of {wanted:?}");
        }
    }
}

#[test]
fn an_empty_table_is_not_read_back() {
    assert_eq!(read_back(&FoundTable::default()), None);
}
