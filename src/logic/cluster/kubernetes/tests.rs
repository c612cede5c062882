use super::*;

#[test]
fn resources_have_the_names_of_their_paths_and_failures_their_causes() {
    let names = [Resource::Pods, Resource::Namespaces, Resource::ServiceAccounts].map(|kind| kind.to_string());
    assert_eq!(names, ["pods", "namespaces", "serviceaccounts"]);
    let failure = KubernetesFailure { kind: KubernetesFailureKind::Forbidden, cause: "403".into() };
    assert_eq!(failure.to_string(), "403");
}
