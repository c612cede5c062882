use super::*;

fn in_region(region: &str) -> StsEndpoints {
    StsEndpoints { region: Some(region.to_owned()), ..StsEndpoints::default() }
}

/// Region, then its hosts: standard, FIPS, dual-stack, both.
const HOSTS: [(&str, [&str; 4]); 9] = [
    (
        "eu-west-1",
        [
            "sts.eu-west-1.amazonaws.com",
            "sts-fips.eu-west-1.amazonaws.com",
            "sts.eu-west-1.api.aws",
            "sts-fips.eu-west-1.api.aws",
        ],
    ),
    (
        "mx-central-1",
        [
            "sts.mx-central-1.amazonaws.com",
            "sts-fips.mx-central-1.amazonaws.com",
            "sts.mx-central-1.api.aws",
            "sts-fips.mx-central-1.api.aws",
        ],
    ),
    (
        "cn-north-1",
        [
            "sts.cn-north-1.amazonaws.com.cn",
            "sts-fips.cn-north-1.amazonaws.com.cn",
            "sts.cn-north-1.api.amazonwebservices.com.cn",
            "sts-fips.cn-north-1.api.amazonwebservices.com.cn",
        ],
    ),
    (
        "us-gov-west-1",
        [
            "sts.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.api.aws",
            "sts-fips.us-gov-west-1.api.aws",
        ],
    ),
    (
        "us-iso-east-1",
        [
            "sts.us-iso-east-1.c2s.ic.gov",
            "sts-fips.us-iso-east-1.c2s.ic.gov",
            "sts.us-iso-east-1.api.aws.ic.gov",
            "sts-fips.us-iso-east-1.api.aws.ic.gov",
        ],
    ),
    (
        "us-isob-east-1",
        [
            "sts.us-isob-east-1.sc2s.sgov.gov",
            "sts-fips.us-isob-east-1.sc2s.sgov.gov",
            "sts.us-isob-east-1.api.aws.scloud",
            "sts-fips.us-isob-east-1.api.aws.scloud",
        ],
    ),
    (
        "eu-isoe-west-1",
        [
            "sts.eu-isoe-west-1.cloud.adc-e.uk",
            "sts-fips.eu-isoe-west-1.cloud.adc-e.uk",
            "sts.eu-isoe-west-1.api.cloud-aws.adc-e.uk",
            "sts-fips.eu-isoe-west-1.api.cloud-aws.adc-e.uk",
        ],
    ),
    (
        "us-isof-south-1",
        [
            "sts.us-isof-south-1.csp.hci.ic.gov",
            "sts-fips.us-isof-south-1.csp.hci.ic.gov",
            "sts.us-isof-south-1.api.aws.hci.ic.gov",
            "sts-fips.us-isof-south-1.api.aws.hci.ic.gov",
        ],
    ),
    (
        "eusc-de-east-1",
        [
            "sts.eusc-de-east-1.amazonaws.eu",
            "sts-fips.eusc-de-east-1.amazonaws.eu",
            "sts.eusc-de-east-1.api.amazonwebservices.eu",
            "sts-fips.eusc-de-east-1.api.amazonwebservices.eu",
        ],
    ),
];

#[test]
fn every_partition_has_its_four_endpoints() {
    for (region, hosts) in HOSTS {
        let variants = [(false, false), (true, false), (false, true), (true, true)];
        for ((fips, dual_stack), host) in variants.into_iter().zip(hosts) {
            let endpoint = StsEndpoints { fips, dual_stack, ..in_region(region) }.endpoint(None).unwrap();
            assert_eq!(endpoint.url, format!("https://{host}/"));
            assert_eq!((endpoint.host.as_str(), endpoint.signing_region.as_str()), (host, region));
        }
    }
}

#[test]
fn the_global_endpoint_is_used_only_in_legacy_mode_of_the_public_partition() {
    for (region, fips, host, signing_region) in [
        ("eu-west-1", false, "sts.amazonaws.com", "us-east-1"),
        ("eu-west-1", true, "sts-fips.eu-west-1.amazonaws.com", "eu-west-1"),
        ("cn-north-1", false, "sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("us-gov-east-1", false, "sts.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
    ] {
        let endpoint = StsEndpoints { legacy_global: true, fips, ..in_region(region) }.endpoint(None).unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.signing_region.as_str()), (host, signing_region));
    }
    assert_eq!(in_region("aws-global").endpoint(None).unwrap().host, "sts.amazonaws.com");
}

#[test]
fn an_override_for_sts_wins_over_one_for_all_services() {
    let url = |text: &str| Some(ServiceUrl::parse(text).unwrap());
    let all = StsEndpoints { override_all: url("http://127.0.0.1:5000"), ..in_region("eu-west-1") };
    let endpoint = all.endpoint(None).unwrap();
    assert_eq!(endpoint.url, "http://127.0.0.1:5000/");
    assert_eq!((endpoint.host.as_str(), endpoint.signing_region.as_str()), ("127.0.0.1:5000", "eu-west-1"));
    let sts = StsEndpoints { override_sts: url("https://vpce.example.com/sts"), fips: true, ..all };
    assert_eq!(sts.endpoint(None).unwrap().url, "https://vpce.example.com/sts");
}

#[test]
fn an_unknown_region_uses_the_partition_of_the_role() {
    let new = in_region("nz-north-1");
    assert_eq!(new.endpoint(Some("aws")).unwrap().host, "sts.nz-north-1.amazonaws.com");
    assert_eq!(new.endpoint(Some("aws-cn")).unwrap().host, "sts.nz-north-1.amazonaws.com.cn");
    for partition in [None, Some("aws-moon")] {
        let failure = new.endpoint(partition).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoRegion, "UnknownRegion"));
        assert!(failure.message.contains("nz-north-1"));
    }
}

#[test]
fn an_invalid_region_never_becomes_a_host() {
    for region in ["", "EU-WEST-1", "eu-west-1.evil.com/", "eu-west-1#", "eu west", "-eu", "eu-", "e\u{fc}-west-1"] {
        let failure = in_region(region).endpoint(Some("aws")).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (StsFailureKind::NoRegion, "InvalidRegion"), "{region}");
    }
    assert_eq!(StsEndpoints::default().endpoint(None).unwrap_err().code, "NoRegion");
}
