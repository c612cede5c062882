//! Five bugs that others had, and five that no agent should have, put in at the ports: the simulator sees each.

use crate::plants::Plant;
use crate::sim::{run, run_by_token};

/// Plays seeds until one breaks `promise`.
fn is_caught(plant: Plant, promise: &str) {
    let mut others = Vec::new();
    for seed in 0..MOST_SEEDS {
        let outcome = run(seed, Some(plant));
        if outcome.faults.iter().any(|fault| fault.promise == promise) {
            return println!("{plant:?}: seed {seed}, {} steps", outcome.steps);
        }
        others.extend(outcome.faults);
    }
    panic!("{MOST_SEEDS} seeds with {plant:?} never broke `{promise}`: {others:?}");
}

#[test]
fn an_old_owner_that_evicts_the_new_one_is_caught() {
    is_caught(Plant::OldOwnerEvictsNew, "a known pod is answered");
}

#[test]
fn a_key_that_forgets_the_external_id_is_caught() {
    is_caught(Plant::KeyForgetsExternalId, "only what is permitted is given");
}

#[test]
fn expired_credentials_that_are_served_are_caught() {
    is_caught(Plant::ClockSleeps, "nothing expired is served");
}

#[test]
fn a_waiter_that_is_stranded_is_caught() {
    is_caught(Plant::BellForgets, "nobody is stranded");
}

#[test]
fn a_list_that_is_swapped_in_before_it_is_whole_is_caught() {
    is_caught(Plant::ListIsSwappedInEarly, "a known pod is answered");
}

#[test]
fn a_secret_in_the_log_is_caught() {
    is_caught(Plant::FailureTellsSecret, "no secret is logged");
}

#[test]
fn a_call_in_the_nodes_name_is_caught() {
    let faults = (0..MOST_SEEDS).map(|seed| run_by_token(seed, Some(Plant::NodeSigns)).faults);
    let caught = faults.flatten().any(|fault| fault.promise == "no call bears the node's key");
    assert!(caught, "{MOST_SEEDS} seeds never broke it");
}

#[test]
fn keys_that_the_next_agent_lacks_are_caught() {
    is_caught(Plant::KeysAreLost, "a token is its pod's and stays good");
}

#[test]
fn a_replaced_pod_that_stays_is_caught() {
    is_caught(Plant::ReplacedStays, "only what is permitted is given");
}

#[test]
fn a_skipped_object_that_is_kept_is_caught() {
    is_caught(Plant::SkippedIsKept, "only what is permitted is given");
}

const MOST_SEEDS: u64 = 60;
