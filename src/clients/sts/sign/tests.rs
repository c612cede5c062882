use super::*;
use crate::logic::base::secret::Secret;

const BODY: &str = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fapp\
                    &RoleSessionName=sess&DurationSeconds=3600";

/// Signatures computed with botocore 1.44 for the same keys, time and body.
#[test]
fn signatures_equal_botocores() {
    let plain = "content-type;host;x-amz-date";
    let with_token = "content-type;host;x-amz-date;x-amz-security-token";
    for (url, host, region, token, covered, signature) in [
        (
            "https://sts.eu-west-1.amazonaws.com/",
            "sts.eu-west-1.amazonaws.com",
            "eu-west-1",
            None,
            plain,
            "ef7511f0393e2dace9392d6ca89a5cce987c6ea09f2678b6d6bcf9947cc6bb16",
        ),
        (
            "https://sts.eu-west-1.amazonaws.com/",
            "sts.eu-west-1.amazonaws.com",
            "eu-west-1",
            Some("session/token+=="),
            with_token,
            "9321570a455c138a0b175fbc43abd34d0ba9cbb4cf7a2740a43b913557486690",
        ),
        (
            "http://127.0.0.1:5000/",
            "127.0.0.1:5000",
            "us-east-1",
            None,
            plain,
            "d0193575218bab334b39b0451857f7f75ae4e49ca3ab207cf36ea0b847a46b48",
        ),
        (
            "http://127.0.0.1:5000/sts/v1",
            "127.0.0.1:5000",
            "us-east-1",
            Some("session/token+=="),
            with_token,
            "09ac3083875867edce94ad0b20834603d8d679ab05482cbb7c86ad536a38224f",
        ),
    ] {
        let endpoint = Endpoint { url: url.to_owned(), host: host.to_owned(), signing_region: region.to_owned() };
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.map(|token| Secret::new(token.to_owned())),
            expiration: None,
        };
        let headers = sign(&endpoint, BODY, &credentials, Wall::from_unix_seconds(1_795_402_787)).unwrap();
        let value = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-amz-date"), Some("20261123T025947Z"));
        assert_eq!(value("x-amz-security-token"), token);
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/{region}/sts/aws4_request, \
             SignedHeaders={covered}, Signature={signature}"
        );
        assert_eq!(value("authorization"), Some(expected.as_str()), "{url}");
    }
}
