//! The output of `kube2iam redirect status` about the address of container credentials.

use serde_json::{Value, json};

use super::address::{ADDRESS, AddressStep, FoundAddress, LINK_KIND, LinkChoice, LinkSupport, Place, next_step};
use super::compare::{FoundChain, FoundRule, FoundTable, differences};
use super::guard::{
    CHAIN_CLOSED, CHAIN_CLOSED_LOCAL, CHAIN_KEPT, CHAIN_KEPT_LOCAL, CHAIN_LEAVING, GUARD_TABLE, Guard, chains,
    is_dropping, read_back,
};
use super::interfaces::InterfacePattern;
use super::{RequestAction, readback};

/// The state of the address on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressStatus {
    pub table: Option<FoundTable>,
    pub address: FoundAddress,
}

impl AddressStatus {
    /// Whether the address was never set up.
    pub fn is_absent(&self) -> bool {
        self.table.is_none() && self.address.link.is_none() && self.address.holders.is_empty()
    }

    /// The link and the rules, if everything is in place; otherwise all faults.
    pub fn in_place(&self) -> Result<(Place, Guard), Vec<String>> {
        let mut faults = Vec::new();
        let place = self.place().map_err(|fault| faults.push(fault)).ok();
        let guard = self.guard().map_err(|found| faults.extend(found)).ok();
        place.zip(guard).ok_or(faults)
    }

    fn place(&self) -> Result<Place, String> {
        // With links refused, an address that is on neither link counts as one to add to loopback, which is reported
        // as missing.
        let choice = LinkChoice { kind: LINK_KIND, support: LinkSupport::Refused };
        match next_step(&self.address, choice) {
            AddressStep::Keep(place) => Ok(place),
            AddressStep::Raise { place, .. } => Err(format!("the link `{}` is down", place.interface())),
            AddressStep::MakeLink | AddressStep::Assign { .. } => Err("the address is missing".to_owned()),
            AddressStep::Blocked(obstacle) => Err(obstacle.to_string()),
        }
    }

    fn guard(&self) -> Result<Guard, Vec<String>> {
        let Some(table) = &self.table else {
            return Err(vec![format!("table inet {GUARD_TABLE} is missing: other NAT rules can take its packets")]);
        };
        let altered = |difference: String| format!("table inet {GUARD_TABLE} is altered: {difference}");
        let Some(guard) = read_back(table) else {
            return Err(vec![altered("one of its chains is missing".to_owned())]);
        };
        match differences(&chains(&guard), table) {
            none if none.is_empty() => Ok(guard),
            some => Err(some.into_iter().map(altered).collect()),
        }
    }

    /// Connections to the address since the table was written.
    pub fn connections(&self) -> u64 {
        let chains = [CHAIN_KEPT, CHAIN_KEPT_LOCAL].map(|name| self.chain(name));
        let to_address = |rule: &&FoundRule| readback::agent(&rule.expressions).is_some_and(|at| at.ip() == ADDRESS);
        let rules = chains.into_iter().flatten().flat_map(|chain| &chain.rules).filter(to_address);
        rules.map(|rule| rule.count.packets).sum()
    }

    fn chain(&self, name: &str) -> Option<&FoundChain> {
        self.table.as_ref()?.chain(name)
    }

    /// The same as JSON; null if the address was never set up.
    pub fn json(&self) -> Value {
        if self.is_absent() {
            return Value::Null;
        }
        let faults = self.in_place().err().unwrap_or_default();
        json!({ "in_place": faults.is_empty(), "faults": faults, "connections": self.connections() })
    }

    /// One fact per line; empty if the address was never set up.
    pub fn text(&self) -> String {
        if self.is_absent() {
            return String::new();
        }
        let lines = match self.in_place() {
            Ok((place, guard)) => self.whole(place, &guard),
            Err(faults) => {
                let head = format!("container credentials at {ADDRESS}: not in place");
                let faults = faults.into_iter().map(|fault| format!("  {fault}"));
                std::iter::once(head).chain(faults).chain(self.guard().ok().map(|_| self.leaving())).collect()
            }
        };
        lines.join("\n") + "\n"
    }

    fn whole(&self, place: Place, guard: &Guard) -> Vec<String> {
        let generation = self.table.as_ref().map_or(0, FoundTable::generation);
        let requests = match guard.requests {
            RequestAction::Redirect => String::new(),
            RequestAction::Drop => ", requests are dropped".to_owned(),
        };
        let at = format!("{ADDRESS}:{}", guard.port);
        let (from_uplinks, other): (Vec<_>, Vec<_>) =
            self.dropping(CHAIN_CLOSED).partition(|rule| readback::interface_of(&rule.expressions).is_some());
        let uplinks: Vec<String> = guard.uplinks.iter().map(InterfacePattern::to_string).collect();
        let uplinks = if uplinks.is_empty() { "none".to_owned() } else { uplinks.join(", ") };
        let mut lines = vec![
            format!(
                "container credentials at {at}: in place on {}, generation {generation}{requests}",
                place.interface()
            ),
            format!("  {} connections", self.connections()),
            format!("  from uplinks ({uplinks}): dropped, {} packets", packets(from_uplinks)),
            format!("  all but requests: dropped, {} packets", packets(other)),
        ];
        if guard.at_loopback == RequestAction::Drop {
            let dropped = packets(self.dropping(CHAIN_CLOSED_LOCAL));
            lines.push(format!("  requests at loopback: dropped, {dropped} packets"));
        }
        lines.push(self.leaving());
        lines
    }

    fn leaving(&self) -> String {
        format!("  on their way out of the node: dropped, {} packets", packets(self.dropping(CHAIN_LEAVING)))
    }

    /// The dropping rules of a chain.
    fn dropping(&self, chain: &str) -> impl Iterator<Item = &FoundRule> {
        self.chain(chain).into_iter().flat_map(|chain| &chain.rules).filter(|rule| is_dropping(rule))
    }
}

fn packets<'a>(rules: impl IntoIterator<Item = &'a FoundRule>) -> u64 {
    rules.into_iter().map(|rule| rule.count.packets).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::redirect::address::{AddressOnLink, FoundLink, LINK, LOOPBACK, LOOPBACK_LABEL};
    use crate::logic::redirect::compare::Count;
    use crate::logic::redirect::expression::Expression;

    fn guard(requests: RequestAction) -> Guard {
        let uplinks = vec![InterfacePattern::Name("eth0".to_owned())];
        Guard { port: 8181, uplinks, requests, at_loopback: requests }
    }

    /// An intact table in which the n-th counted rule has counted n packets.
    fn table(guard: &Guard) -> Option<FoundTable> {
        let mut table = FoundTable::as_written(&chains(guard), 3);
        let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
        let counted = rules.filter(|rule| rule.expressions.contains(&Expression::Counter));
        for (rule, packets) in counted.zip(1..) {
            rule.count = Count { packets, bytes: 60 * packets };
        }
        Some(table)
    }

    fn on(index: u32, interface: &str, label: &str) -> FoundAddress {
        let own = FoundLink { index: 7, kind: LINK_KIND.to_owned(), is_up: true };
        let loopback = FoundLink { index: 1, kind: String::new(), is_up: true };
        let holder = AddressOnLink { index, interface: interface.to_owned(), label: label.to_owned() };
        FoundAddress { link: (index == 7).then_some(own), loopback: Some(loopback), holders: vec![holder] }
    }

    #[test]
    fn an_address_in_place_shows_its_link_and_counters() {
        let status = |requests, address| AddressStatus { table: table(&guard(requests)), address };
        let here = status(RequestAction::Redirect, on(7, LINK, LINK));
        assert_eq!(
            here.text(),
            "container credentials at 169.254.170.2:8181: in place on kube2iam0, generation 3\n\
             \u{20} 3 connections\n\
             \u{20} from uplinks (eth0): dropped, 5 packets\n\
             \u{20} all but requests: dropped, 6 packets\n\
             \u{20} on their way out of the node: dropped, 7 packets\n"
        );
        let dropping = status(RequestAction::Drop, on(1, LOOPBACK, LOOPBACK_LABEL)).text();
        assert!(dropping.contains(": in place on lo, generation 3, requests are dropped\n"), "{dropping}");
        assert!(dropping.contains("\n  requests at loopback: dropped, 17 packets\n"), "{dropping}");
    }

    #[test]
    fn each_fault_of_the_address_is_reported() {
        let whole = || table(&guard(RequestAction::Redirect));
        let mut altered = whole();
        altered.iter_mut().for_each(|table| drop(table.chains[0].rules.pop()));
        let none = FoundAddress { holders: Vec::new(), ..on(1, "", "") };
        for (table, address, fault) in [
            (whole(), none.clone(), "the address is missing"),
            (whole(), FoundAddress { link: on(7, "", "").link, ..none.clone() }, "the address is missing"),
            (whole(), on(9, "eth1", "eth1"), "169.254.170.2 is on `eth1`"),
            (None, on(7, LINK, LINK), "table inet kube2iam_credentials is missing"),
            (altered, on(7, LINK, LINK), "table inet kube2iam_credentials is altered: "),
        ] {
            let text = AddressStatus { table, address }.text();
            let head = "container credentials at 169.254.170.2: not in place\n  ";
            assert!(text.starts_with(&format!("{head}{fault}")), "{text}");
        }
    }

    #[test]
    fn a_missing_address_shows_that_packets_to_it_are_dropped() {
        let address = FoundAddress { holders: Vec::new(), ..on(1, "", "") };
        let missing = AddressStatus { table: table(&guard(RequestAction::Redirect)), address };
        assert_eq!(
            missing.text(),
            "container credentials at 169.254.170.2: not in place\n\
             \u{20} the address is missing\n\
             \u{20} on their way out of the node: dropped, 7 packets\n"
        );
    }

    #[test]
    fn an_address_never_set_up_is_not_mentioned() {
        let loopback = on(1, "", "").loopback;
        let nothing = AddressStatus { table: None, address: FoundAddress { loopback, ..FoundAddress::default() } };
        assert_eq!((nothing.is_absent(), nothing.text().as_str()), (true, ""));
    }

    #[test]
    fn json_names_faults_and_is_null_if_never_set_up() {
        let good = || AddressStatus { table: table(&guard(RequestAction::Redirect)), address: on(7, LINK, LINK) };
        assert_eq!(good().json(), json!({ "in_place": true, "faults": [], "connections": 3 }));
        let mut altered = good();
        let last = altered.table.as_mut().unwrap().chains.last_mut().unwrap();
        last.rules.push(last.rules[0].clone());
        let json = altered.json();
        assert_eq!(json["in_place"], false);
        assert!(json["faults"][0].as_str().unwrap().contains("is altered"), "{json}");
        assert_eq!(AddressStatus { table: None, address: FoundAddress::default() }.json(), Value::Null);
    }
}
