use super::*;

#[test]
fn audit_metrics_of_deleted_namespaces_are_dropped() {
    let world = Registry::new();
    let metrics = OperatorMetrics::register(&world).unwrap();
    for namespace in ["stays", "goes"] {
        metrics.audited.with_label_values(&[namespace, "role_not_allowed"]).inc();
    }
    metrics.retain_namespaces(|name| name == "stays");
    let families = world.gather();
    let audited = families.iter().find(|family| family.name().ends_with("policy_audited_total")).unwrap();
    assert_eq!(audited.get_metric().len(), 1);
}
