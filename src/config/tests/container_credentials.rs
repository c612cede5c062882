//! Which tokens are asked for.

use super::{POD, config, refusal_in};

#[test]
fn pods_show_tokens_of_the_audiences_named() {
    let longest = "a".repeat(256);
    for (args, audiences, warnings) in [
        (vec!["--container-credentials"], Some(vec!["kube2iam"]), 0),
        (vec!["--container-credentials", "--bind-address=0.0.0.0"], Some(vec!["kube2iam"]), 0),
        (vec!["--container-credentials", "--bind-address=::"], Some(vec!["kube2iam"]), 0),
        (
            vec!["--container-credentials", "--token-audience=a,b", "--token-audience", &longest],
            Some(vec!["a,b", &longest]),
            0,
        ),
        (vec!["--token-audience=a"], None, 1),
        (vec!["--container-credentials=false", "--bind-address=10.0.0.1"], None, 0),
    ] {
        let config = config(&args);
        let found = config.container_credentials.map(|found| found.audiences);
        assert_eq!(found, audiences.map(|all| all.into_iter().map(str::to_owned).collect()), "{args:?}");
        assert_eq!(config.warnings.len(), warnings, "{args:?}");
    }
    let over_long = format!("--token-audience={longest}a");
    assert!(refusal_in(POD, &[&over_long]).contains("1 to 256 characters"));
}
