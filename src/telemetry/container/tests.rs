use super::*;

#[test]
fn tokens_are_counted_by_outcome() {
    let registry = Registry::new();
    let metrics = ContainerMetrics::register(&registry).unwrap();
    metrics.begin();
    for reason in [None, Some(Reason::NoRole), Some(Reason::TokenExpired)] {
        metrics.count_token(reason);
    }
    metrics.sample_keys(Some(("https://old", Duration::from_secs(7))));
    metrics.sample_keys(Some(("https://new", Duration::from_secs(9))));
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        "container_tokens_total{outcome=\"accepted\"} 2",
        "container_tokens_total{outcome=\"token_expired\"} 1",
        "container_tokens_total{outcome=\"keys_unknown\"} 0",
        "issuer_keys_age_seconds{issuer=\"https://new\"} 9",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("https://old"), "{text}");
}
