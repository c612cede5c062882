//! The promises: each with its number and what keeps it. A promise without a test is a wish.

use std::fs;

use kube2iam::for_tests::MOST_CALLS;

use crate::generated::settle;
use crate::page::{self, top};
use crate::tests_of_tree::TestsOfTree;

struct Promise {
    what: &'static str,
    number: String,
    /// Tests, or scenes of `cargo bench`
    kept_by: &'static [&'static str],
}

fn promise(what: &'static str, number: impl Into<String>, kept_by: &'static [&'static str]) -> Promise {
    Promise { what, number: number.into(), kept_by }
}

/// What pods may and may not get.
fn of_identity() -> Vec<Promise> {
    vec![
        promise(
            "no spelling of a path leads to the node's credentials or secrets",
            "0 of 6,212 spellings x 7 methods",
            &["no_spelling_of_a_secrets_path_gets_it_or_is_seen_upstream"],
        ),
        promise(
            "nothing that is forwarded can be read as a secret's path",
            "in any further decoding, folding or normalising",
            &["nothing_forwarded_leads_to_a_secret", "every_path_of_the_corpus_keeps_its_promise"],
        ),
        promise(
            "no pod gets credentials of a role that it wasn't permitted, and none that expired",
            "0 in 660,000 simulated steps",
            &["seeds_break_no_promise"],
        ),
        promise(
            "with `--sts=web-identity` STS sees no call that the node signed, and no token but the asking pod's",
            "0 calls in 40 simulated runs",
            &["seeds_by_token_break_no_promise", "sts_is_shown_the_pods_token_and_nothing_of_the_nodes"],
        ),
        promise(
            "the simulator finds planted bugs",
            "7 bugs, each within 5 seeds",
            &[
                "an_old_owner_that_evicts_the_new_one_is_caught",
                "a_key_that_forgets_the_external_id_is_caught",
                "expired_credentials_that_are_served_are_caught",
                "a_waiter_that_is_stranded_is_caught",
                "a_list_that_is_swapped_in_before_it_is_whole_is_caught",
            ],
        ),
        promise(
            "list, credentials and `explain` agree on any role text",
            "256 odd texts a run",
            &["list_credentials_and_explanation_agree_on_any_role_text"],
        ),
        promise(
            "real SDKs get the right role, or the error that they should",
            "5 SDKs in 13 scenes, and with tokens at 2 addresses",
            &[
                "every_sdk_does_what_is_expected_in_every_scene",
                "every_sdk_shows_its_token_at_loopback",
                "every_sdk_shows_its_token_at_the_container_address",
            ],
        ),
    ]
}

fn of_sessions() -> Vec<Promise> {
    vec![
        promise(
            "calls to STS for a crowd",
            "100 for 1,000 pods of 100 roles",
            &["a_thousand_pods_of_a_hundred_roles_make_a_hundred_calls"],
        ),
        promise(
            "calls to STS at a time",
            format!("at most {MOST_CALLS}"),
            &["answers_from_memory_pass_those_who_wait_for_sts"],
        ),
        promise(
            "a request waits for STS",
            "at most 5 s, and the call goes on",
            &["a_call_that_hangs_is_a_503_after_five_seconds_and_goes_on_for_the_next"],
        ),
        promise(
            "a session that no pod may use is removed",
            "within 60 s",
            &["what_no_pod_may_have_any_more_is_gone_within_a_minute"],
        ),
    ]
}

/// What one tenant costs another.
fn of_tenants() -> Vec<Promise> {
    vec![
        promise(
            "what 1,500 hostile connections cost others",
            "50 ms at the 99th percentile, beyond what the machine costs any request",
            &["four_crowds_at_the_cap_of_a_peer_hurt_nobody_else", "a_crowd_from_thirty_addresses_hurts_nobody_else"],
        ),
        promise(
            "clients of one pod with a connection each that all get credentials",
            "150",
            &["a_hundred_and_fifty_clients_of_one_pod_all_get_credentials"],
        ),
        promise(
            "memory with every connection taken",
            "within the 64 MiB of the manifests",
            &["a_full_door_fits_into_the_memory_that_the_manifests_give"],
        ),
        promise(
            "memory with 5,000 pods with the longest annotations in 200 namespaces with the longest lists",
            "at most 40 MiB resident, sessions apart",
            &["five_thousand_hostile_pods_and_two_hundred_lists_fit_into_forty_mebibytes"],
        ),
        promise(
            "a list of expressions that takes long to evaluate",
            "delays no other namespace",
            &["a_list_that_takes_long_delays_no_other_namespace"],
        ),
    ]
}

fn of_operation() -> Vec<Promise> {
    vec![
        promise(
            "requests lost in an upgrade with a state directory",
            "0 in 10 restarts under load",
            &["ten_restarts_under_load_fail_no_request"],
        ),
        promise("requests lost in a change of overlay", "0", &["a_rollout_between_any_two_overlays_loses_no_request"]),
        promise(
            "other processes that can listen on the agent's port, with a state directory",
            "0",
            &["no_process_of_the_same_user_can_listen_beside_the_agent"],
        ),
        promise("the process ends after SIGTERM", "within 5 s", &["whatever_hangs_does_not_keep_it"]),
        promise(
            "a redirect that was altered is back",
            "within 2 s",
            &["whatever_is_done_to_the_table_is_undone_within_two_seconds"],
        ),
        promise(
            "what pods reach while the agent is down",
            "nothing",
            &["while_the_agent_is_down_pods_are_refused_and_nothing_leaks"],
        ),
        promise(
            "a connection to the API server whose other end is gone is noticed",
            "within 45 s",
            &["a_watch_whose_peer_is_gone_without_a_word_ends_within_45_seconds"],
        ),
        promise(
            "a renewed authority or client certificate is used",
            "without a restart",
            &["an_agent_whose_authority_and_client_certificate_are_renewed_learns_of_the_next_pod"],
        ),
    ]
}

fn of_size_and_speed() -> Vec<Promise> {
    let mib = f64::from(constant("tests/shipping/release.rs", "LARGEST").parse::<u32>().unwrap()) / f64::from(1 << 20);
    let of_nginx = ["KEPT_OF_NGINX", "SINGLE_OF_NGINX"].map(|name| constant("tests/bench/rates.rs", name));
    let tail = ["P999_MS", "WORST_MS"].map(|name| constant("tests/bench/tail.rs", name).replace(".0", ""));
    vec![
        promise(
            "the file",
            format!("at most {mib} MiB, static, the same bytes twice"),
            &[
                "the_file_is_small_and_stripped_and_does_not_tell_who_built_it",
                "a_second_build_from_vendored_crates_without_a_network_is_the_same_bytes",
            ],
        ),
        promise("resident with 250 pods", "at most 5 MiB", &["cargo bench -- memory"]),
        promise("memory of a watched pod", "at most 400 bytes, with a role 1 KiB", &["cargo bench -- memory"]),
        promise("ready after the start, before an API server that answers", "within 100 ms", &["cargo bench -- start"]),
        promise(
            "rate of answers from memory, against nginx with `return 200` in the same run",
            format!("at least {} with keep-alive, {} with a connection per request", of_nginx[0], of_nginx[1]),
            &["cargo bench -- rates"],
        ),
        promise(
            "from a pod's event on the watch to its first answer",
            format!("at most {} ms, the median", constant("tests/bench/events.rs", "MOST_MS").trim_end_matches(".0")),
            &["cargo bench -- events"],
        ),
        promise(
            "latency at 5,000 requests a second while pods change, sessions are renewed and long lists are read",
            format!("p99.9 at most {} ms, the worst {} ms", tail[0], tail[1]),
            &["cargo bench -- tail"],
        ),
        promise(
            "instructions of an answer from memory",
            "counted, to compare machines",
            &["cargo bench -- instructions"],
        ),
    ]
}

/// The value of a constant that a test or bench measures against.
fn constant(file: &str, name: &str) -> String {
    let text = fs::read_to_string(top().join(file)).unwrap();
    let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap_or_else(|| panic!("no {name} in {file}"));
    let (_, value) = rest.split_once(" = ").unwrap();
    value.split(';').next().unwrap().replace('_', "")
}

#[test]
fn every_promise_names_a_test_or_bench_that_exists() {
    let tests = TestsOfTree::find();
    let parts = [
        ("identity", of_identity()),
        ("sessions", of_sessions()),
        ("tenants", of_tenants()),
        ("operation", of_operation()),
        ("size and speed", of_size_and_speed()),
    ];
    for (part, promises) in parts {
        let rows: String = promises.iter().map(|promise| row(promise, &tests)).collect();
        let table = format!("| promise | number | kept by | run by |\n|---|---|---|---|\n{rows}");
        settle("manifests/docs/promises.md", part, &table);
    }
}

fn row(promise: &Promise, tests: &TestsOfTree) -> String {
    let Promise { what, number, kept_by } = promise;
    assert!(!kept_by.is_empty(), "nothing keeps it: {what}");
    let mut programs: Vec<String> = kept_by.iter().map(|keeper| how_to_run(keeper, tests)).collect();
    programs.dedup();
    let named: Vec<String> =
        kept_by.iter().filter(|keeper| !is_bench(keeper)).map(|keeper| format!("`{keeper}`")).collect();
    format!("| {what} | {number} | {} | {} |\n", named.join(", "), programs.join(", "))
}

fn is_bench(keeper: &str) -> bool {
    keeper.starts_with("cargo bench")
}

fn how_to_run(keeper: &str, tests: &TestsOfTree) -> String {
    match keeper.strip_prefix("cargo bench -- ") {
        Some(scene) => {
            let bench = page::read("tests/bench/bench.rs").text;
            assert!(bench.contains(&format!("(\"{scene}\", {scene}::run)")), "there is no scene {scene}");
            format!("`{keeper}`")
        }
        None => {
            let program = tests.program_of(keeper).unwrap_or_else(|| panic!("there is no test `{keeper}`"));
            format!("`cargo test {program}`")
        }
    }
}
