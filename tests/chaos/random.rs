//! Chance that can be had again: all of a test's faults follow from one number.

pub use super::standins::random::Random;

/// The seed of a run: `KUBE2IAM_CHAOS_SEED`, else always the same one. A failed test prints it.
pub fn of_run() -> Random {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(USUAL);
    println!("seed: {SEED}={seed}");
    Random::new(seed)
}

const SEED: &str = "KUBE2IAM_CHAOS_SEED";
const USUAL: u64 = 20_261_127;
