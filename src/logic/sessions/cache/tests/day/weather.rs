//! The behaviour of STS during a day: outages, throttling, denials, and a node whose wall clock jumps.

use super::super::failure;
use crate::logic::base::tests::SeededRandom;
use crate::logic::base::time::Wall;
use crate::logic::sts::{AssumeRole, Remedy, StsFailure, StsFailureKind, remedy, skew_ms};
use std::time::Duration;

pub(super) const MINUTE_MS: u64 = 60_000;
const MIDNIGHT: Wall = Wall::from_unix_seconds(1_800_000_000);

/// A session in STS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) role: u64,
    pub(super) ends: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Away,
    Throttles,
    Denies,
}

pub(super) struct Weather {
    random: SeededRandom,
    troubles: Vec<(u64, u64, Trouble)>,
    /// The error of the agent's wall clock, and the agent's correction
    wall_ms: i64,
    skew_ms: i64,
    /// Calls, including second attempts
    pub(super) attempts: u64,
}

impl Weather {
    pub(super) fn new(day_ms: u64, mut random: SeededRandom) -> Self {
        let mut troubles = Vec::new();
        for (kind, minutes, times) in [(Trouble::Away, 20, 5), (Trouble::Throttles, 5, 8), (Trouble::Denies, 10, 2)] {
            for _ in 0..times {
                let from = random.roll(day_ms);
                troubles.push((from, from + minutes * MINUTE_MS, kind));
            }
        }
        Self { random, troubles, wall_ms: 0, skew_ms: 0, attempts: 0 }
    }

    /// Moves the wall clock by up to two hours either way.
    pub(super) fn jump(&mut self, rolled: u64) {
        self.wall_ms += (i64::try_from(rolled).unwrap() - 2) * 3_600_000;
    }

    /// Whether STS is failing, or was recently: renewals back off up to five minutes.
    pub(super) fn is_troubled(&self, now: u64) -> bool {
        self.troubles.iter().any(|(from, until, _)| (*from..*until + 6 * MINUTE_MS).contains(&now))
    }

    /// A call with the client's correction of a wrong clock: its duration and result.
    pub(super) fn call(&mut self, request: &AssumeRole, now: u64) -> (u64, Result<Granted, StsFailure>) {
        let (took, result) = self.attempt(request, now);
        match result {
            Err(failure) if remedy(&failure) == Remedy::ReadTime => {
                self.skew_ms = skew_ms(&aws_time(now).http_date(), self.wall(now)).unwrap();
                let (more, result) = self.attempt(request, now);
                (took + more, result)
            }
            result => (took, result),
        }
    }

    fn attempt(&mut self, request: &AssumeRole, now: u64) -> (u64, Result<Granted, StsFailure>) {
        self.attempts += 1;
        let fail = |kind, code: &str| Err(StsFailure { code: code.to_owned(), ..failure(kind) });
        let quick = 20 + self.random.roll(180);
        let trouble =
            self.troubles.iter().find(|(from, until, _)| (*from..*until).contains(&now)).map(|(.., kind)| *kind);
        match trouble {
            Some(Trouble::Away) if self.random.roll(2) == 0 => {
                return (10_000, fail(StsFailureKind::Unavailable, "Timeout"));
            }
            Some(Trouble::Away) => return (quick, fail(StsFailureKind::Unavailable, "Unreachable")),
            Some(Trouble::Throttles) if self.random.roll(4) > 0 => {
                return (quick, fail(StsFailureKind::Throttled, "Throttling"));
            }
            Some(Trouble::Denies) => return (quick, fail(StsFailureKind::Refused, "AccessDenied")),
            _ => {}
        }
        let signed_at = self.wall(now).unix_millis() + self.skew_ms;
        if (signed_at - aws_time(now).unix_millis()).unsigned_abs() > 5 * MINUTE_MS {
            return (quick, fail(StsFailureKind::Unavailable, "RequestExpired"));
        }
        let role = request.role.name()[1..].parse().unwrap();
        // AWS counts from its response, the agent from the arrival of the response.
        (quick, Ok(Granted { role, ends: now + quick / 2 + 3_600_000 }))
    }

    fn wall(&self, now: u64) -> Wall {
        Wall::from_unix_millis(aws_time(now).unix_millis() + self.wall_ms)
    }
}

fn aws_time(now: u64) -> Wall {
    MIDNIGHT.after(Duration::from_millis(now))
}
