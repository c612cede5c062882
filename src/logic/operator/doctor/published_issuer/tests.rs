use super::*;
use crate::logic::operator::doctor::Mark;

#[test]
fn an_issuer_that_aws_cannot_read_gives_a_warning_with_advice() {
    for (issuer, why) in [
        ("https://kubernetes.default.svc.cluster.local", "inside the cluster"),
        ("https://kubernetes.default.svc", "inside the cluster"),
        ("https://kubernetes.default", "inside the cluster"),
        ("https://KUBERNETES.default.svc.", "inside the cluster"),
        ("https://ip-10-0-0-1.eu-west-1.compute.internal", "inside the cluster"),
        ("https://api.internal.prod.example.com", "inside the cluster"),
        ("https://oidc", "inside the cluster"),
        ("https://localhost", "inside the cluster"),
        ("https://10.96.0.1", "its address is private"),
        ("https://172.31.255.255", "its address is private"),
        ("https://192.168.1.1/oidc", "its address is private"),
        ("https://100.64.0.1", "its address is private"),
        ("https://169.254.1.1", "its address is private"),
        ("https://[fd00::1]", "its address is private"),
        ("https://[fe80::1]", "its address is private"),
        ("https://[::1]", "its address is private"),
        ("https://[::]", "its address is private"),
        ("https://[::ffff:10.0.0.1]", "its address is private"),
        ("http://oidc.example.com", "isn't https"),
        ("https://api.example.com:6443", "no port"),
        ("kubernetes/serviceaccount", "no URL"),
        ("api", "no URL"),
    ] {
        let found = of_published_issuer(issuer);
        assert_eq!(found.mark, Mark::Warn, "{issuer}");
        assert!(found.text.contains(why) && found.text.contains("--service-account-issuer"), "{}", found.text);
        assert_eq!(found.text.lines().count(), 1);
    }
}

#[test]
fn an_issuer_that_aws_may_read_raises_no_alarm() {
    for issuer in [
        "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",
        "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/EXAMPLE",
        "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c",
        "https://westeurope.oic.prod-aks.azure.com/0000/1111/",
        "https://s3.eu-west-1.amazonaws.com/oidc-bucket",
        "https://d111111abcdef8.cloudfront.net",
        "https://oidc.example.com",
        "https://oidc.example.com:443",
        "https://internal.example.com",
        "https://svc.example.com",
        "https://99.64.0.1",
        "https://100.63.255.255",
        "https://[2600::1]",
    ] {
        assert_eq!(of_published_issuer(issuer).mark, Mark::Ok, "{issuer}");
    }
}
