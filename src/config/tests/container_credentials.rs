//! Which tokens are asked for.

use super::{POD, config, refusal_in};

#[test]
fn pods_show_tokens_of_the_audiences_named() {
    let longest = "a".repeat(256);
    let several = ["--container-credentials", "--token-audience=a,b", "--token-audience", &longest];
    for (args, audiences, warnings) in [
        (&["--container-credentials"][..], vec!["kube2iam"], 0),
        (&several[..], vec!["a,b", &longest], 0),
        (&["--token-audience=a"][..], vec!["a"], 1),
        (&[][..], vec!["kube2iam"], 0),
    ] {
        let config = config(args);
        assert_eq!(config.listen.token_audiences, audiences, "{args:?}");
        assert_eq!(config.warnings.len(), warnings, "{args:?}");
    }
    let over_long = format!("--token-audience={longest}a");
    assert!(refusal_in(POD, &[&over_long]).contains("1 to 256 characters"));
}
