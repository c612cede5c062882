use super::*;

fn recorded(exchange: &str) -> &str {
    exchange.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn recorded_documents_are_parsed() {
    let info = recorded(include_str!("../../../../tests/fixtures/imds/iam-info.http"));
    assert_eq!(base_arn(info).unwrap().as_str(), "arn:aws:iam::896453262835:role/");
    let listing = recorded(include_str!("../../../../tests/fixtures/imds/role-list.http"));
    assert_eq!(role_name(listing).unwrap(), "baskinc-role");
    assert_eq!(region(recorded(include_str!("../../../../tests/fixtures/imds/region.http"))).unwrap(), "us-east-1");
    let id = recorded(include_str!("../../../../tests/fixtures/imds/instance-id.http"));
    assert_eq!(instance_id(id).unwrap(), "i-1234567890abcdef0");
    let identity = identity(recorded(include_str!("../../../../tests/fixtures/imds/identity-document.http"))).unwrap();
    let expected = InstanceIdentity {
        region: "us-east-1".to_owned(),
        account: "0123456789".to_owned(),
        instance_id: "i-1234567890abcdef0".to_owned(),
    };
    assert_eq!(identity, expected);
}

#[test]
fn the_base_arn_is_cut_where_kube2iam_cuts_it() {
    for (arn, base) in [
        ("arn:aws:iam::1:instance-profile/team/node", Some("arn:aws:iam::1:role/")),
        ("arn:aws-cn:iam::12:instance-profile/x", Some("arn:aws-cn:iam::12:role/")),
        ("arn:aws:iam::1:user/x", None),
        ("nonsense", None),
    ] {
        let info = format!("{{\"Code\":\"Success\",\"InstanceProfileArn\":\"{arn}\"}}");
        assert_eq!(base_arn(&info).ok().as_ref().map(BaseArn::as_str), base, "{arn}");
    }
    for info in ["", "{}", r#"{"Code":"Failed","InstanceProfileArn":"arn:aws:iam::1:instance-profile/x"}"#] {
        assert!(base_arn(info).is_err(), "{info}");
    }
}

#[test]
fn pages_of_other_servers_are_rejected() {
    for text in ["", " \n", "<html>", "two words", "../../up"] {
        assert!(role_name(text).is_err(), "{text}");
        assert!(region(text).is_err(), "{text}");
        assert!(identity(text).is_err(), "{text}");
    }
    assert!(instance_id("").is_err() && instance_id("a b").is_err());
    assert_eq!(role_name("first\nsecond").unwrap(), "first");
    assert!(identity(r#"{"region":"us-east-1","accountId":"x","instanceId":"i-1"}"#).is_err());
}

#[test]
fn a_failure_of_the_metadata_service_is_displayed_as_its_cause() {
    let failure = ImdsFailure { status: Some(404), cause: "no such page".into() };
    assert_eq!(failure.to_string(), "no such page");
}
