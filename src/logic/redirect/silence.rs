//! A newer agent that has the table and doesn't serve.

use crate::logic::operator::port_holder::PortAnswer;

/// How many looks in a row found no kube2iam where the newer agent's table sends pods, while this agent served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedirectSilence {
    looks: u32,
}

impl RedirectSilence {
    /// After one more look. `newer` is what was answered where the newer agent's table sends pods, nothing if it drops
    /// their requests; `own` is what was answered where this agent's would.
    pub fn after(self, newer: &[PortAnswer], own: &[PortAnswer]) -> Self {
        let serves = |answers: &[PortAnswer]| answers.contains(&PortAnswer::AsKube2iam);
        if serves(newer) || !serves(own) { Self::default() } else { Self { looks: self.looks.saturating_add(1) } }
    }

    /// Whether the older agent is to take the table back.
    pub fn is_enough(self) -> bool {
        self.looks >= MOST_LOOKS
    }
}

/// A new agent needs time until it has listed the pods.
const MOST_LOOKS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::redirect::compare::{Claim, FoundTable, RepairStep, decide, is_intact};
    use crate::logic::redirect::ruleset::{Chain, chains};
    use crate::logic::redirect::scope::InterfaceScope;
    use crate::logic::redirect::{Metadata, OtherPorts, Wanted};

    #[test]
    fn only_three_looks_in_a_row_are_enough_and_only_for_an_agent_that_serves() {
        use PortAnswer::{AsKube2iam, Nothing, Otherwise, Refused};
        let serves = (&[Refused, AsKube2iam][..], &[AsKube2iam][..]);
        let (silent, foreign) = ((&[Refused, Nothing][..], serves.1), (&[Otherwise][..], serves.1));
        let (dropping, deaf) = ((&[][..], serves.1), (&[Refused][..], &[Refused][..]));
        for (looks, wanted) in [
            (&[silent, foreign][..], false),
            (&[silent, foreign, dropping], true),
            (&[silent, silent, serves, silent], false),
            (&[silent, silent, deaf, silent], false),
            (&[deaf, deaf, deaf, deaf], false),
        ] {
            let silence =
                looks.iter().fold(RedirectSilence::default(), |silence, (newer, own)| silence.after(newer, own));
            assert_eq!(silence.is_enough(), wanted, "{looks:?}");
        }
    }

    fn wish(port: u16) -> Vec<Chain> {
        chains(&Wanted {
            metadata: Metadata::of([]),
            agent_v4: Some(format!("10.0.0.1:{port}").parse().unwrap()),
            agent_v6: None,
            scope: InterfaceScope::default(),
            other_ports: OtherPorts::Drop,
        })
    }

    /// Agents at 1 (older) and 2 look in turn; gives who wrote, the last number, and who has the table.
    fn looks(alive: [bool; 2], turns: usize) -> (Vec<usize>, u64, usize) {
        let answer = |at: usize| if alive[at] { [PortAnswer::AsKube2iam] } else { [PortAnswer::Refused] };
        let (mut own, mut silence, mut wrote) = ([1, 2], [RedirectSilence::default(); 2], Vec::new());
        let (mut holder, mut table) = (1, FoundTable::as_written(&wish(2), 2));
        for agent in (0..turns).map(|turn| turn % 2).filter(|agent| alive[*agent]) {
            let claim = if silence[agent].is_enough() { Claim::Anew } else { Claim::Held };
            match decide(&is_intact, &wish([1, 2][agent]), Some(own[agent]), claim, Some(&table)) {
                RepairStep::Write { generation, .. } => {
                    table = FoundTable::as_written(&wish([1, 2][agent]), generation);
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
    fn two_healthy_agents_rest_and_the_older_takes_over_from_a_newer_that_is_gone() {
        assert_eq!(looks([true, true], 40), (vec![], 2, 1));
        assert_eq!(looks([true, false], 6), (vec![], 2, 1), "three looks first");
        assert_eq!(looks([true, false], 40), (vec![0], 3, 0));
        assert_eq!(looks([false, true], 40), (vec![], 2, 1));
    }
}
