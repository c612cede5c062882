//! How others were broken, and what prevents it here. Each line ends with the tests that fail if it comes back;
//! that they exist is itself tested (`every_vulnerability_names_tests_that_exist`). Numbers are of jtblin/kube2iam unless
//! another project is named.
//!
//! **Paths.** Decided in `logic::request::path` and `logic::request::route`.
//! - A backslash taken for a slash behind the check (CVE-2022-23551, aad-pod-identity): no backslash passes, raw or
//!   encoded (`ambiguous_paths_are_refused`, `no_known_bypass_is_forwarded`).
//! - Encoding twice, so that the service decodes once more than the check: no encoded `%` passes
//!   (`ambiguous_paths_are_refused`, `nothing_forwarded_leads_to_a_secret`).
//! - Parameters, blanks and NULs behind a word, which some servers drop; other cases, which some fold: the alphabet has
//!   none of the former, and whatever folds to a sensitive word is sensitive
//!   (`other_spellings_of_the_credential_tree_are_refused`, `no_spelling_of_a_secrets_path_gets_it_or_is_seen_upstream`).
//! - Endings that name a format (`.json`), parameters behind a comma or a colon, an underscore for a hyphen (OpenStack's
//!   `user_data`), credentials under a name of tomorrow: all as sensitive as the word itself
//!   (`suffixes_parameters_and_variants_of_a_sensitive_word_are_sensitive`,
//!   `every_path_of_the_corpus_keeps_its_promise`).
//! - A query that asks for a listing in another form than the one that is looked through (`?recursive=true`): listings
//!   are asked for without (`a_filtered_listing_is_requested_without_a_query`).
//! - Dot segments and doubled slashes resolved after the check: resolved before it
//!   (`dot_segments_are_resolved_before_a_path_is_classified`).
//! - The check read one spelling and the service another (kiam #516, of which nothing more is known): what is forwarded
//!   is what was judged, written by us (`no_variation_of_a_known_bypass_leads_to_a_secret`).
//!
//! **What pods could have that was the node's.**
//! - The node's role was within reach (#15), through upper case, parameters and the rest of 224 spellings: the
//!   credential tree is never asked for on behalf of a pod
//!   (`no_spelling_of_a_secrets_path_gets_it_or_is_seen_upstream`).
//! - `security-credentials-extended` and `identity-credentials` were passed through, which gives the node away the day
//!   they exist: the one is answered here, the other refused
//!   (`iam_info_and_the_extended_document_speak_of_the_pods_role`).
//! - User data with the node's bootstrap secrets (#129, PR #182, PR #137), and signed proofs of the node's identity:
//!   kept back unless opened by name (`the_nodes_own_things_are_kept_back_and_the_rest_is_not`,
//!   `each_is_opened_by_its_name_and_further_ones_closed`).
//! - The reverse: a blocked identity document broke the detection of the region (fluxcd/flux2 #2722): the document and
//!   the placement stay (`the_nodes_own_things_are_kept_back_and_the_rest_is_not`).
//! - A pod not yet known fell through to the default role (#46, #80): an unknown address waits, then gets nothing
//!   (`an_unknown_address_waits_and_never_gets_the_default`).
//! - Two pods on one address, one of them a ghost (#244): refused, or told apart by one live list
//!   (`a_shared_address_is_refused_unless_the_flag_asks_to_look`, `one_live_list_serves_all_who_ask`).
//! - Whatever came in by an interface that the rule doesn't name (kube2iam's rule names one), as ICMP, SCTP or any
//!   protocol but TCP, or out of a tunnel, reached the node's own service: dropped on every interface but loopback, uplinks
//!   and those excepted (`no_protocol_reaches_the_metadata_address_by_any_interface`,
//!   `a_second_interface_of_a_pod_does_not_reach_the_real_service`,
//!   `a_packet_out_of_an_overlay_networks_tunnel_does_not_reach_the_real_service`).
//!
//! - A pod too long to read failed every list, and who came to the address of a pod that was gone had its role: objects
//!   are read as they flow, what can't be read is forgotten, and a server that refuses ends credentials
//!   (`a_fat_pod_does_not_freeze_what_is_known_of_other_pods`,
//!   `an_object_too_long_is_skipped_and_forgotten_in_list_and_watch`,
//!   `credentials_end_while_the_api_server_refuses_and_come_back_with_it`).
//!
//! **Who may ask, and how.**
//! - Tokens of version 2 failed because the proxy added `X-Forwarded-For` (#241, PR #270, PR #279): it goes nowhere, and
//!   who brings it is refused (`no_spelling_of_a_secrets_path_gets_it_or_is_seen_upstream`,
//!   `token_requests_are_refused_as_by_ec2`).
//! - Forged requests through a pod that fetches URLs (#212 asked for a look at `User-Agent`): a token can be demanded,
//!   which such a request can't fetch (`tokens_can_be_demanded_of_a_pod_or_a_namespace`).
//! - Tokens were never checked, and any method gave credentials (`bad_tokens_are_401_everywhere`,
//!   `only_get_and_head_do_anything`).
//! - Slow token calls made SDKs slow (aws/aws-sdk-ruby #2177) or drop to version 1 for good: a token comes from memory,
//!   whatever else is down (`tokens_come_in_time_for_any_source_whatever_else_is_down`).
//! - Clients of version 1 on instances that demand version 2 (kiam #359), and the other way round
//!   (apache/arrow-rs-object-store #231) (`pods_without_tokens_work_where_the_service_demands_them`,
//!   `a_service_without_tokens_is_asked_without`).
//! - Everybody could reach the agent's own pages, role ARNs in metrics among them, on all addresses (#152): not through
//!   the metadata address, whatever the `Host` says, and only where the operator lets it listen
//!   (`a_forged_host_gains_nothing_through_the_redirect`, `metrics_move_to_a_port_of_their_own`,
//!   `pods_can_be_kept_to_one_address`).
//! - A process of the agent's own user, without a capability, listened on the same port beside it (SO_REUSEPORT) and took
//!   pods' requests, by a more specific address all of them: with a state directory the port is exclusive, and handed over
//!   by descriptor (`no_process_of_the_same_user_can_listen_beside_the_agent`,
//!   `a_socket_that_was_bound_before_never_gets_to_listen`, `process_of_another_user_gets_no_listener`).
//! - A stranger on the agent's port at its start was sent every pod's request: they are dropped until the port is free
//!   (`while_another_program_holds_the_port_pods_reach_neither_it_nor_the_nodes_credentials`).
//! - The agent was killed because the metadata service was down (#251, #254, #333): `/healthz` speaks of the agent alone
//!   (`tokens_come_in_time_for_any_source_whatever_else_is_down`).
//! - A lookup hung for 15 minutes (#28): every wait has its deadline
//!   (`an_unknown_address_waits_and_never_gets_the_default`,
//!   `a_service_that_hangs_costs_two_seconds_at_most_and_nobody_else`).
//!
//! **Bytes.** Seen in a server library that was weighed for this agent, or in the books.
//! - One head with a huge `Content-Length` ended the process or a thread; two lengths, a length beside a coding, bare
//!   line feeds read in two ways (`every_head_of_the_corpus_has_one_reading`,
//!   `whatever_can_be_read_in_two_ways_is_refused_and_closed`,
//!   `oversized_body_is_rejected_before_it_is_sent`).
//! - A panic took a thread with it, then the service (`panic_is_answered_500_and_affects_no_other_connection`).
//! - Half-open connections took a thread each for ever, endless headers all memory
//!   (`half_requests_are_gone_within_ten_seconds`, `endless_heads_are_cut_at_the_limit`,
//!   `a_crowd_from_thirty_addresses_hurts_nobody_else`).
//! - Pipelines whose answers nobody reads, or somebody byte by byte; requests sent ahead that each have to wait
//!   (`pipeline_that_is_never_read_is_cut_at_the_write_deadline`,
//!   `a_slow_reader_of_a_pipeline_is_gone_within_ten_seconds`,
//!   `pipelined_waiting_requests_do_not_occupy_their_worker`).
//! - A few peers with as many connections as one may have took all of them, and the 65th client of a pod cut another
//!   between its token and its credentials: beside a crowd a peer has 32, and one just answered is never cut
//!   (`four_crowds_at_the_cap_of_a_peer_hurt_nobody_else`, `four_greedy_peers_leave_slots_for_others`,
//!   `a_hundred_and_fifty_clients_of_one_pod_all_get_credentials`).
//! - Chunked bodies whose lines, extensions or trailers never end, and what follows them read as the next request
//!   (`data_and_framing_are_bounded`,
//!   `chunked_bodies_are_discarded_and_the_next_request_is_found`).
//! - A limit on threads (`with_too_few_threads_the_start_fails_with_one_line`,
//!   `connections_queued_for_a_worker_that_exits_are_refused`, `thirty_two_threads_suffice_to_start_and_to_serve`).
//! - Running out of descriptors ended the accepting for good
//!   (`an_agent_without_descriptors_sends_the_idle_away_and_recovers`).
//! - One pod could have the agent throttled by STS for all (`what_starts_calls_is_rationed_per_peer_and_what_joins_them_is_not`).
//!
//! **What one tenant could do to others**, found by attacking this agent.
//! - A pod whose annotations were patched 6,000 times filled the cache with calls for it, and while STS was away others'
//!   sessions went: a pod has one waiting prefetch, and none evicts a session
//!   (`a_pod_that_is_patched_all_day_costs_nobody_a_session`, `a_prefetch_never_evicts_a_session`).
//! - A token fetched before its pod was known was good for six hours for whichever pod had the address: it lives a minute
//!   (`a_token_for_an_unknown_address_lives_a_minute_whatever_was_asked`).
//! - A path with a line separator or a mark that turns the direction of writing stood bare in a line of JSON: escaped as
//!   in text (`json_lines_escape_all_that_text_lines_escape`).
//! - Annotations of pods that can't ask filled the memory, and those of all were parsed for every answer: they are parsed
//!   once, when their object changes, and kept within bounds
//!   (`finished_and_host_network_pods_are_kept_without_what_their_annotations_say`,
//!   `five_thousand_hostile_pods_and_two_hundred_lists_fit_into_forty_mebibytes`).
//! - A namespace's expressions took half a minute for one request, under the lock of all: lists are evaluated apart, by
//!   turns (`a_list_that_takes_long_delays_no_other_namespace`, `lists_beyond_their_limits_allow_nothing_and_report_a_fault`).
//! - A role's name ran as part of the command that was printed to mend it: every word of a printed command is quoted
//!   (`a_printed_command_gives_kubectl_what_is_meant_and_runs_nothing_else`, `empty_and_dot_segments_are_no_path`).

use std::fs;
use std::path::Path;

const TEXT: &str = include_str!("known_vulnerabilities.rs");

#[test]
fn every_vulnerability_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        gather(&root.join(directory), &mut sources);
    }
    let prose: String =
        TEXT.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect::<Vec<_>>().join("\n");
    let entries: Vec<&str> = prose.split("\n- ").skip(1).collect();
    assert!(entries.len() >= 20, "{} entries", entries.len());
    for entry in entries {
        let names: Vec<&str> = entry.split('`').skip(1).step_by(2).filter(|word| is_test_name(word)).collect();
        assert!(!names.is_empty(), "an entry names no test: {entry}");
        for name in names {
            let tested = sources.contains(&format!("\nfn {name}(")) || sources.contains(&format!("\n    fn {name}("));
            assert!(tested, "there is no test `{name}`, but it is named here");
        }
    }
}

/// A claim of several words; single words in backticks are something else.
fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn gather(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
