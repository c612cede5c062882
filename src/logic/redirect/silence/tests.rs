use super::*;
use crate::logic::redirect::compare::{Claim, FoundTable, RepairStep, decide, is_intact};
use crate::logic::redirect::ruleset::{Chain, chains};
use crate::logic::redirect::scope::InterfaceScope;
use crate::logic::redirect::{Metadata, OtherPorts, Wanted};

#[test]
fn takeover_needs_three_consecutive_checks_of_an_agent_that_serves() {
    use PortAnswer::{AsKube2iam, Nothing, Otherwise, Refused};
    let serves = (&[Refused, AsKube2iam][..], &[AsKube2iam][..]);
    let (silent, foreign) = ((&[Refused, Nothing][..], serves.1), (&[Otherwise][..], serves.1));
    let (dropping, deaf) = ((&[][..], serves.1), (&[Refused][..], &[Refused][..]));
    for (checks, expected) in [
        (&[silent, foreign][..], false),
        (&[silent, foreign, dropping], true),
        (&[silent, silent, serves, silent], false),
        (&[silent, silent, deaf, silent], false),
        (&[deaf, deaf, deaf, deaf], false),
    ] {
        let silence = checks.iter().fold(RedirectSilence::default(), |silence, (newer, own)| silence.after(newer, own));
        assert_eq!(silence.is_enough(), expected, "{checks:?}");
    }
}

fn wanted(port: u16) -> Vec<Chain> {
    chains(&Wanted {
        metadata: Metadata::of([]),
        agent_v4: Some(format!("10.0.0.1:{port}").parse().unwrap()),
        agent_v6: None,
        scope: InterfaceScope::default(),
        other_ports: OtherPorts::Drop,
    })
}

/// Those of the agents 0 (older) and 1 that are `alive` check in turn; returns the writers, the last generation, and the table's owner.
fn simulate(alive: &[usize], turns: usize) -> (Vec<usize>, u64, usize) {
    let answer = |at: usize| if alive.contains(&at) { [PortAnswer::AsKube2iam] } else { [PortAnswer::Refused] };
    let (mut own, mut silence, mut wrote) = ([1, 2], [RedirectSilence::default(); 2], Vec::new());
    let (mut holder, mut table) = (1, FoundTable::as_written(&wanted(2), 2));
    for agent in (0..turns).map(|turn| turn % 2).filter(|agent| alive.contains(agent)) {
        let claim = if silence[agent].is_enough() { Claim::Anew } else { Claim::Held };
        match decide(&is_intact, &wanted([1, 2][agent]), Some(own[agent]), claim, Some(&table)) {
            RepairStep::Write { generation, .. } => {
                table = FoundTable::as_written(&wanted([1, 2][agent]), generation);
                (holder, own[agent], silence[agent]) = (agent, generation, RedirectSilence::default());
                wrote.push(agent);
            }
            RepairStep::Yield { .. } => silence[agent] = silence[agent].after(&answer(holder), &answer(agent)),
            RepairStep::Keep { .. } => silence[agent] = RedirectSilence::default(),
        }
    }
    (wrote, table.generation(), holder)
}

#[test]
fn the_older_agent_takes_over_only_if_the_newer_is_gone() {
    assert_eq!(simulate(&[0, 1], 40), (vec![], 2, 1));
    assert_eq!(simulate(&[0], 6), (vec![], 2, 1), "three checks first");
    assert_eq!(simulate(&[0], 40), (vec![0], 3, 0));
    assert_eq!(simulate(&[1], 40), (vec![], 2, 1));
}
