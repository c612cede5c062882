//! Roles that pods don't name themselves.

use super::standins::agent::Until;
use super::standins::client;
use super::standins::kubernetes::{Kind, On, PodSpec, Refusal};
use super::standins::{Lab, PATIENCE, Times};
use super::{BASE, arn, key_id};

const OWN: &str = "iam.amazonaws.com/role";
const EKS: &str = "eks.amazonaws.com/role-arn";
const SPACE: &str = "iam.amazonaws.com/default-role";

/// The role that a pod is told, or the reason why there is none.
fn role(agent: &super::Agent, pod: &str) -> String {
    let answer = client::get(agent.addr(), pod, "/latest/meta-data/iam/security-credentials/");
    answer.text().trim_end().to_owned()
}

fn bare(name: &str, address: &str, account: &str) -> PodSpec {
    PodSpec::new("default", name).ip(address).service_account(account)
}

#[test]
fn the_nearest_role_wins_and_changes_are_followed() {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("default", &[(SPACE, "space")]);
    lab.kubernetes.add_namespace("plain", &[]);
    lab.kubernetes.add_service_account("default", "own", &[(OWN, "account"), (EKS, &arn("eks"))]);
    lab.kubernetes.add_service_account("default", "eks", &[(EKS, &arn("eks"))]);
    lab.kubernetes.add_service_account("default", "bare", &[]);
    lab.kubernetes.add_service_account("plain", "bare", &[]);
    lab.kubernetes.add_pod(bare("a", "127.0.1.1", "own").role("pod"));
    lab.kubernetes.add_pod(bare("b", "127.0.1.2", "own"));
    lab.kubernetes.add_pod(bare("c", "127.0.1.3", "eks"));
    lab.kubernetes.add_pod(bare("d", "127.0.1.4", "bare"));
    lab.kubernetes.add_pod(PodSpec::new("plain", "e").ip("127.0.1.5").service_account("bare"));
    lab.kubernetes.add_pod(bare("f", "127.0.1.6", "unheard-of"));
    let agent = lab.agent(&[BASE, "--service-account-roles", "--default-role=fallback"]);
    let roles: Vec<String> = (1..=6).map(|last| role(&agent, &format!("127.0.1.{last}"))).collect();
    assert_eq!(roles, ["pod", "account", "eks", "space", "fallback", "unknown_service_account"]);
    key_id(&agent, "127.0.1.3", "eks");
    lab.kubernetes.add_service_account("default", "bare", &[(OWN, "late")]);
    super::wait_until(PATIENCE, "the account's role is taken", || role(&agent, "127.0.1.4") == "late");
}

#[test]
fn service_accounts_are_not_watched_unless_told() {
    let lab = Lab::start();
    lab.kubernetes.add_service_account("default", "own", &[(OWN, "account")]);
    lab.kubernetes.add_pod(bare("a", "127.0.1.1", "own"));
    let agent = lab.agent(&[BASE]);
    assert_eq!(role(&agent, "127.0.1.1"), "no_role");
    let (list, watch) = (On::List(Kind::ServiceAccount), On::Watch(Kind::ServiceAccount));
    assert_eq!((lab.kubernetes.count(list), lab.kubernetes.count(watch)), (0, 0));
}

/// A default handed out before the nearer role is known would be somebody else's.
#[test]
fn nobody_is_served_before_service_accounts_are_listed() {
    let lab = Lab::start();
    lab.kubernetes.add_service_account("default", "own", &[(OWN, "account")]);
    lab.kubernetes.add_pod(bare("a", "127.0.1.1", "own"));
    let list = On::List(Kind::ServiceAccount);
    lab.kubernetes.refuse(list, Refusal::Status { code: 403, retry_after_s: None }, Times::Always);
    let flags = [BASE, "--service-account-roles", "--default-role=fallback"];
    let mut agent = lab.setup().flags(&flags).until(Until::Listening).start();
    agent.wait_for_log("see its ClusterRole");
    super::wait_until(PATIENCE, "only service accounts are missing", || {
        let ready = client::get_as_operator(agent.addr(), "/readyz");
        ready.status == 503 && ready.text() == "service accounts are not listed yet\n"
    });
    assert_eq!(role(&agent, "127.0.1.1"), "not_ready");
    lab.kubernetes.clear_refusals();
    agent.wait_ready();
    assert_eq!(role(&agent, "127.0.1.1"), "account");
}
