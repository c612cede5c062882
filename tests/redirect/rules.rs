//! The table as `nft` shows it, the three commands, and what is left of the original kube2iam.

use std::net::IpAddr;

use kube2iam::for_tests::{
    CredentialsAddressing, InterfaceRule, Metadata, OldRules, Printed, PrintedForm, Redirect, RedirectCommand,
    RedirectError, RedirectOutcome, RedirectSpec, nft_text, run_redirect_command,
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::lab::{AGENT_PORT, Lab, METADATA_V4, ready, text};

fn spec() -> RedirectSpec {
    RedirectSpec::new(AGENT_PORT)
}

fn add(old_rules: OldRules) -> RedirectCommand {
    RedirectCommand::Add { spec: spec(), old_rules, credentials: CredentialsAddressing::Leave }
}

/// Counters at zero.
pub(crate) fn normalised(listing: &str) -> String {
    let mut words: Vec<&str> = listing.split(' ').collect();
    for at in 1..words.len() {
        if matches!(words[at - 1], "packets" | "bytes") {
            words[at] = "0";
        }
    }
    words.join(" ")
}

#[test]
fn nft_shows_the_golden_text() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let wanted = lab.node(|| Redirect::open(spec()).unwrap().ensure()).unwrap().wanted;
    lab.ask("pod1", METADATA_V4);
    let listing = normalised(&lab.nft(&["list", "ruleset"]));
    assert_eq!(listing, include_str!("golden.nft"));
    assert_eq!(listing, nft_text(&wanted, 1));
}

#[test]
fn nft_shows_what_is_described_for_other_specs_too() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let further: [IpAddr; 2] = ["10.9.9.9".parse().unwrap(), "fd99::9".parse().unwrap()];
    let mut generation = 0;
    for interfaces in [&["cali+,other1,!cali2"][..], &["!eth0"], &["+"], &["cni0"], &["docker0"]] {
        for further in [&further[..], &[]] {
            let spec = RedirectSpec {
                interfaces: InterfaceRule::parse(interfaces).unwrap(),
                metadata: Metadata::of(further.iter().copied()),
                ..spec()
            };
            let mut redirect = lab.node(|| Redirect::open(spec).unwrap());
            let ensured = lab.node(|| redirect.ensure()).unwrap();
            let outcome = if generation == 0 { RedirectOutcome::Placed } else { RedirectOutcome::Updated };
            assert_eq!(ensured.outcome, outcome, "other flags are no alteration");
            generation += 1;
            let again = lab.node(|| redirect.ensure()).unwrap();
            assert_eq!(
                (again.outcome, again.generation),
                (RedirectOutcome::Kept, generation),
                "read as it was written"
            );
            assert_eq!(lab.nft(&["list", "ruleset"]), nft_text(&ensured.wanted, generation), "{ensured:?}");
            assert_eq!(
                lab.node(|| run_redirect_command(&RedirectCommand::Status(PrintedForm::Text))).exit_code,
                0,
                "{ensured:?}"
            );
        }
    }
}

#[test]
fn add_status_remove() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let command = |command: &RedirectCommand| lab.node(|| run_redirect_command(command));
    let missing = command(&RedirectCommand::Status(PrintedForm::Text));
    assert_eq!((missing.exit_code, missing.output.contains("missing")), (1, true), "{missing:?}");
    let added = command(&add(OldRules::Name));
    assert_eq!(added.output, "table inet kube2iam was missing and is placed, generation 1\n");
    assert_eq!((added.exit_code, added.errors.as_str()), (0, ""));
    for _ in 0..3 {
        assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"));
    }
    let status = command(&RedirectCommand::Status(PrintedForm::Text));
    assert_eq!((status.exit_code, status.errors.as_str()), (0, ""));
    assert_eq!(status.output, include_str!("status.txt"));
    lab.nft(&["flush chain inet kube2iam dropped"]);
    assert_eq!(command(&RedirectCommand::Status(PrintedForm::Text)).exit_code, 1);
    assert_eq!(command(&RedirectCommand::Remove).exit_code, 0);
    assert_eq!(lab.nft(&["list", "ruleset"]), "");
    assert_eq!(command(&RedirectCommand::Remove).output, "table inet kube2iam was not there\n");
    assert_eq!(lab.ask("pod1", METADATA_V4), text("canary"));
}

#[test]
fn without_net_admin_there_is_one_clear_error() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let refused = lab.node(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        assert_eq!(Redirect::open(spec()).err(), Some(RedirectError::NoNetAdmin));
        [add(OldRules::Name), RedirectCommand::Remove, RedirectCommand::Status(PrintedForm::Text)]
            .map(|command| run_redirect_command(&command))
    });
    let expected = |errors: &str| Printed { exit_code: 77, output: String::new(), errors: errors.to_owned() };
    let programming = expected(
        "failed to program `inet kube2iam`: the capability NET_ADMIN is missing; give it to the container (securityContext.capabilities.add), or run this as root\n",
    );
    let [added, removed, status] = refused;
    assert_eq!((added, removed), (programming.clone(), programming));
    assert_eq!((status.exit_code, status.output.as_str()), (77, ""));
    for words in ["failed to read", "NET_ADMIN", "sudo kube2iam redirect status", "kubectl debug node/NODE"] {
        assert!(status.errors.contains(words), "{status:?}");
    }
}

const KUBE2IAMS_RULE: [&str; 13] = [
    "PREROUTING",
    "-p",
    "tcp",
    "-d",
    "169.254.169.254",
    "--dport",
    "80",
    "-j",
    "DNAT",
    "--to-destination",
    "10.77.0.2:9999",
    "-i",
    "cali1",
];

const NEIGHBOURS_RULE: [&str; 9] =
    ["PREROUTING", "-p", "tcp", "--dport", "6443", "-j", "DNAT", "--to-destination", "10.77.0.2:9443"];

#[test]
fn a_rule_left_over_in_iptables_nft_is_named_and_adopted() {
    if !ready() {
        return;
    }
    let program = "iptables-nft";
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let iptables = |words: &[&str]| lab.exec("node", program, &[&["-t", "nat"], words].concat());
    iptables(&["-N", "THEIRS"]);
    iptables(&["-A", "THEIRS", "-p", "udp", "-j", "RETURN"]);
    iptables(&["-A", "PREROUTING", "-j", "THEIRS"]);
    let before = iptables(&["-S"]);
    iptables(&[&["-A"], &KUBE2IAMS_RULE[..]].concat());
    iptables(&[&["-A"], &NEIGHBOURS_RULE[..]].concat());
    let named = format!(
        "old rule of kube2iam in {program}: -t nat -A PREROUTING -p tcp -d 169.254.169.254 --dport 80 -i cali1 -j DNAT --to-destination 10.77.0.2:9999"
    );
    let added = lab.node(|| run_redirect_command(&add(OldRules::Name)));
    assert_eq!(added.exit_code, 0, "{added:?}");
    assert!(added.errors.starts_with(&named), "{added:?}");
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"), "ours comes first");
    assert!(lab.node(|| run_redirect_command(&RedirectCommand::Status(PrintedForm::Text))).output.contains(&named));
    let adopted = lab.node(|| run_redirect_command(&add(OldRules::Remove)));
    assert_eq!((adopted.exit_code, adopted.errors.as_str()), (0, ""), "{adopted:?}");
    assert!(adopted.output.contains(&format!("{named}: removed\n")), "{adopted:?}");
    assert!(
        !lab.node(|| run_redirect_command(&RedirectCommand::Status(PrintedForm::Text))).output.contains("old rule")
    );
    iptables(&[&["-D"], &NEIGHBOURS_RULE[..]].concat());
    assert_eq!(iptables(&["-S"]), before, "nothing else is touched");
}

#[test]
fn a_rule_left_over_in_iptables_legacy_goes_by_the_line_that_is_printed() {
    if !ready() {
        return;
    }
    let lab = Lab::new(&["cali1"]);
    let _agent = lab.agent();
    let hint = "iptables-legacy has a table `nat` here; this deletes what the original kube2iam may have left in it: ";
    assert_eq!(lab.node(|| run_redirect_command(&add(OldRules::Name))).errors, "", "there is no such table");
    let legacy = |words: &[&str]| lab.exec("node", "iptables-legacy", &[&["-t", "nat"], words].concat());
    legacy(&["-A", "PREROUTING", "-c", "7", "420", "-p", "tcp", "--dport", "1", "-j", "RETURN"]);
    legacy(&[&["-A"], &KUBE2IAMS_RULE[..]].concat());
    legacy(&["-A", "PREROUTING", "-c", "9", "540", "-m", "comment", "--comment", "two words", "-j", "RETURN"]);
    let adopted = lab.node(|| run_redirect_command(&add(OldRules::Remove)));
    let line = adopted.errors.trim_end().strip_prefix(hint).unwrap_or_else(|| panic!("{adopted:?}"));
    assert_eq!(adopted.exit_code, 0, "{adopted:?}");
    assert!(lab.node(|| run_redirect_command(&RedirectCommand::Status(PrintedForm::Text))).output.contains(line));
    assert!(legacy(&["-S"]).contains("169.254.169.254"), "only iptables-legacy changes its table");
    assert_eq!(lab.ask("pod1", METADATA_V4), text("agent for 10.81.0.2"), "ours comes first");
    lab.exec("node", "sh", &["-c", line]);
    let rules = legacy(&["-S", "PREROUTING", "-v"]);
    assert!(rules.contains("--dport 1 -c 7 420 ") && rules.contains("\"two words\" -c 9 540 "), "{rules}");
    assert!(!rules.contains("169.254.169.254"), "{rules}");
}
