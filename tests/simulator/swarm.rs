//! What a seed makes of a run: the agent's flags, the pace, and which troubles there are. Each seed has only some of
//! them: where everything goes wrong at once, much of what could go wrong is never reached.

use crate::manner::Manner;
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Swarm {
    pub manner: Manner,
    pub pace: Pace,
    pub pods: usize,
    pub actions: u64,
    // The agent's flags
    pub restricted: bool,
    pub tagged: bool,
    pub forgetful: bool,
    pub live_lists: bool,
    /// `--sts=web-identity`; no seed decides it
    pub by_token: bool,
    pub calls_per_second: f64,
    /// Seconds that STS grants at most
    pub granted_s: u64,
    // The troubles of the API server
    pub breaks: bool,
    pub gone: bool,
    pub silence: bool,
    pub half_lines: bool,
    pub replays: bool,
    pub refusals: bool,
    pub lag: bool,
    /// Objects that are longer than what is kept
    pub fat: bool,
    /// Objects made anew under their names, with no word on the old ones' end
    pub replaces: bool,
    // Of STS
    pub throttles: bool,
    pub denies: bool,
    pub hangs: bool,
    pub late: bool,
    pub panics: bool,
    // Of the machine
    pub clock_jumps: bool,
    pub naps: bool,
    pub restarts: bool,
}

/// How fast things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Everything within a minute or two
    Storm,
    /// Hours, so that sessions end and are renewed
    Day,
}

impl Swarm {
    pub fn of(random: &mut Random) -> Self {
        let pace = if random.one_in(2) { Pace::Storm } else { Pace::Day };
        let mut half = || random.one_in(2);
        let manner = Manner { interrupted: 0, ranks: half() };
        let mut swarm = Self {
            manner,
            pace,
            pods: 0,
            actions: 0,
            restricted: half(),
            tagged: half() && half(),
            forgetful: half() && half(),
            live_lists: half() && half(),
            by_token: false,
            calls_per_second: if half() { 10.0 } else { 0.5 },
            granted_s: 3_600,
            breaks: half(),
            gone: half(),
            silence: half(),
            half_lines: half(),
            replays: half(),
            refusals: half(),
            lag: half(),
            fat: half(),
            replaces: half(),
            throttles: half(),
            denies: half(),
            hangs: half(),
            late: half(),
            panics: half() && half(),
            clock_jumps: half(),
            naps: half(),
            restarts: half(),
        };
        swarm.manner.interrupted = *random.pick(&[1, 4, 10]);
        swarm.pods = *random.pick(&[4, 6, 10]);
        swarm.actions = random.between(60, 140);
        swarm.granted_s = *random.pick(&[130, 300, 900, 3_600, 3_600]);
        swarm
    }

    /// Microseconds between two changes in the cluster, about.
    pub fn gap(&self, random: &mut Random) -> u64 {
        match self.pace {
            Pace::Storm => random.roll(600_000),
            Pace::Day => random.roll(120_000_000),
        }
    }

    /// Microseconds between two requests of a pod, about.
    pub fn rest(&self, random: &mut Random) -> u64 {
        match (self.pace, random.one_in(4)) {
            (_, true) => 0,
            (Pace::Storm, false) => random.roll(1_500_000),
            (Pace::Day, false) => random.roll(240_000_000),
        }
    }
}
