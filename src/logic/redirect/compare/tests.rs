use super::*;
use crate::logic::redirect::scope::InterfaceScope;
use crate::logic::redirect::{Metadata, OtherPorts, Wanted};

fn wanted(agent: &str) -> Vec<Chain> {
    ruleset::chains(&Wanted {
        metadata: Metadata::of([]),
        agent_v4: Some(agent.parse().unwrap()),
        agent_v6: None,
        scope: InterfaceScope::default(),
        other_ports: OtherPorts::Drop,
    })
}

const OURS: &str = "10.0.0.1:8181";
const OTHER: &str = "10.0.0.1:9999";

fn check(own: Option<u64>, found: Option<&FoundTable>, expected: &str) {
    let step = match decide(&is_intact, &wanted(OURS), own, Claim::Held, found) {
        RepairStep::Keep { generation } => format!("keep {generation}"),
        RepairStep::Write { generation, .. } => format!("write {generation}"),
        RepairStep::Yield { generation } => format!("yield {generation}"),
    };
    assert_eq!(step, expected, "own {own:?}, found {:?}", found.map(FoundTable::generation));
}

#[test]
fn the_last_agent_to_start_is_the_newest() {
    check(None, None, "write 1");
    check(None, Some(&FoundTable::as_written(&wanted(OTHER), 4)), "write 5");
    check(None, Some(&FoundTable::as_written(&wanted(OTHER), 0)), "write 1");
}

#[test]
fn a_table_of_other_flags_is_outdated_and_one_without_a_rule_altered() {
    let cause = |own, found: &FoundTable| match decide(&is_intact, &wanted(OURS), own, Claim::Held, Some(found)) {
        RepairStep::Write { cause, .. } => cause,
        other => panic!("{other:?}"),
    };
    let mut found = FoundTable::as_written(&wanted(OTHER), 4);
    assert_eq!(cause(None, &found), Cause::Outdated);
    assert!(matches!(cause(Some(4), &found), Cause::Altered(_)), "this agent's own table was written over");
    found.chains[1].rules.pop();
    assert!(matches!(cause(None, &found), Cause::Altered(_)));
}

#[test]
fn an_intact_table_is_kept_regardless_of_its_writer() {
    check(None, Some(&FoundTable::as_written(&wanted(OURS), 4)), "keep 4");
    check(Some(2), Some(&FoundTable::as_written(&wanted(OURS), 4)), "keep 4");
    check(Some(6), Some(&FoundTable::as_written(&wanted(OURS), 4)), "keep 6");
}

#[test]
fn the_older_agent_yields_and_the_newer_repairs() {
    check(Some(3), Some(&FoundTable::as_written(&wanted(OTHER), 4)), "yield 4");
    check(Some(5), Some(&FoundTable::as_written(&wanted(OTHER), 4)), "write 5");
    check(Some(4), Some(&FoundTable::as_written(&wanted(OTHER), 4)), "write 4");
    check(Some(3), None, "write 3");
}

#[test]
fn two_agents_converge_from_every_state() {
    for start in [None, Some((OTHER, 1)), Some((OURS, 2)), Some((OTHER, 2)), Some((OURS, 1))] {
        let mut table = start.map(|(agent, generation)| FoundTable::as_written(&wanted(agent), generation));
        let mut writes = 0;
        for turn in 0..8 {
            let (agent, own) = if turn % 2 == 0 { (OURS, 1) } else { (OTHER, 2) };
            if let RepairStep::Write { generation, .. } =
                decide(&is_intact, &wanted(agent), Some(own), Claim::Held, table.as_ref())
            {
                table = Some(FoundTable::as_written(&wanted(agent), generation));
                writes += 1;
            }
        }
        assert!(writes <= 2, "{start:?}: {writes} writes");
        assert!(differences(&wanted(OTHER), table.as_ref().unwrap()).is_empty(), "{start:?}: the older one won");
    }
}

#[test]
fn a_changed_table_takes_the_next_generation() {
    let shared = FoundTable::as_written(&wanted(OTHER), 4);
    let step = |own, claim| decide(&is_intact, &wanted(OURS), Some(own), claim, Some(&shared));
    let write = |generation| RepairStep::Write { generation, cause: Cause::Outdated };
    assert_eq!(step(4, Claim::Changed), write(5), "the other agent that holds 4 yields then");
    assert_eq!(step(3, Claim::Changed), RepairStep::Yield { generation: 4 });
    assert_eq!([step(3, Claim::Anew), step(4, Claim::Anew), step(6, Claim::Anew)], [write(5), write(5), write(6)]);
}

fn check_difference(alter: impl Fn(&mut FoundTable), expected: &str) {
    let mut table = FoundTable::as_written(&wanted(OURS), 1);
    alter(&mut table);
    assert_eq!(differences(&wanted(OURS), &table), [expected]);
}

#[test]
fn every_alteration_is_detected() {
    check_difference(|table| table.flags = 1, "the table has the flags 0x1");
    check_difference(|table| table.members = 4, "the table holds 4 things instead of 2 chains");
    check_difference(|table| drop(table.chains.remove(0)), "the chain `to_agent` is missing");
    check_difference(|table| table.chains[0].priority = 0, "the chain `to_agent` is hooked elsewhere");
    check_difference(|table| table.chains[1].hook = 3, "the chain `dropped` is hooked elsewhere");
    check_difference(|table| table.chains[0].kind.clear(), "the chain `to_agent` is hooked elsewhere");
    check_difference(|table| table.chains[1].policy = 0, "the chain `dropped` has the policy 0");
    check_difference(|table| drop(table.chains[0].rules.pop()), "the chain `to_agent` has 3 rules instead of 4");
    check_difference(
        |table| table.chains[0].rules[0].expressions.insert(0, Expression::Foreign("log".to_owned())),
        "the chain `to_agent` has another rule instead of `ip daddr != 169.254.169.254 return`",
    );
}

#[test]
fn counters_and_comments_are_not_compared() {
    let mut table = FoundTable::as_written(&wanted(OURS), 1);
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        rule.count = Count { packets: 9, bytes: 9 };
        rule.comment = Some("someone was here".to_owned());
    }
    assert!(differences(&wanted(OURS), &table).is_empty());
}
