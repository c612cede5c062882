use serde_json::json;

use super::super::tests::signing::EcKey;
use super::*;

const NOW: Wall = Wall::from_unix_seconds(1_800_000_000);

fn documents(issuer: &str, keys: &[&EcKey]) -> IssuerDocuments {
    let keys: Vec<_> = keys.iter().map(|key| key.json()).collect();
    IssuerDocuments {
        configuration: json!({ "issuer": issuer, "jwks_uri": "https://elsewhere/keys" }).to_string(),
        key_set: json!({ "keys": keys }).to_string(),
    }
}

#[test]
fn the_api_servers_documents_are_parsed_and_recorded_verbatim() {
    let (one, other) = (EcKey::new("one"), EcKey::new("other"));
    let issuer = Issuer::read(&documents("https://kubernetes.default.svc", &[&one, &other]), NOW).unwrap();
    assert_eq!(issuer.keys.ids().collect::<Vec<_>>(), ["one", "other"]);
    let again = Issuer::from_record(&issuer.to_record()).unwrap();
    assert!(again.agrees_with(&issuer));
    assert_eq!((again.name, again.read), ("https://kubernetes.default.svc".to_owned(), NOW));
    let rotated = Issuer::read(&documents("https://kubernetes.default.svc", &[&other]), NOW).unwrap();
    let renamed = Issuer::read(&documents("https://example.org", &[&one, &other]), NOW).unwrap();
    assert!(!rotated.agrees_with(&issuer) && !renamed.agrees_with(&issuer));
}

#[test]
fn no_keys_differ_from_malformed_documents() {
    let key = EcKey::new("one");
    let good = documents("https://kubernetes.default.svc", &[&key]);
    let with_keys = |text: &str| Issuer::read(&IssuerDocuments { key_set: text.to_owned(), ..good.clone() }, NOW);
    assert_eq!(with_keys(r#"{"keys":[]}"#).err(), Some(IssuerFault::NoKeys));
    for text in ["", "<html>", "{}", r#"{"keys":7}"#] {
        assert!(matches!(with_keys(text), Err(IssuerFault::Unreadable(_))), "{text}");
    }
    let long = "x".repeat(LONGEST_NAME + 1);
    for issuer in ["", "a\nb", &long] {
        assert!(matches!(Issuer::read(&documents(issuer, &[&key]), NOW), Err(IssuerFault::Unreadable(_))), "{issuer}");
    }
    let nameless = IssuerDocuments { configuration: "{}".to_owned(), ..good };
    assert!(matches!(Issuer::read(&nameless, NOW), Err(IssuerFault::Unreadable(_))));
}

#[test]
fn malformed_issuer_records_are_rejected() {
    let key = EcKey::new("one");
    let record = Issuer::read(&documents("https://kubernetes.default.svc", &[&key]), NOW).unwrap().to_record();
    assert!(record.len() < LONGEST_RECORD && Issuer::from_record(&record).is_some());
    for end in 0..record.len() - 1 {
        assert!(Issuer::from_record(&record[..end]).is_none(), "{end}");
    }
    for text in [
        record.replace("2027", "never"),
        record.replace("\"keys\"", "\"no keys\""),
        record.replace("https://kubernetes.default.svc", ""),
    ] {
        assert!(Issuer::from_record(&text).is_none(), "{text}");
    }
}

/// The largest documents of the API server fit into a record.
#[test]
fn the_longest_documents_make_a_record_within_its_limit() {
    let name = "\"".repeat(LONGEST_NAME);
    let configuration = json!({ "issuer": name }).to_string();
    let keys = EcKey::new("k").key_set_json();
    let key_set = keys.replacen("}]", &format!("}}{}]", " ".repeat(131_072 - keys.len())), 1);
    assert_eq!(key_set.len(), 131_072);
    let issuer = Issuer::read(&IssuerDocuments { configuration, key_set }, Wall::from_unix_seconds(0)).unwrap();
    assert!(issuer.to_record().len() <= LONGEST_RECORD, "{}", issuer.to_record().len());
}
