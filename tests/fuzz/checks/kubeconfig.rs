//! Kubeconfigs: read or refused in one line, and no line repeats a secret.

use std::collections::HashMap;
use std::path::Path;

use kube2iam::for_tests::{ApiServerConnection, Auth, Verification};
use yaml_rust2::{Yaml, YamlLoader};

/// The text of a kubeconfig.
pub(crate) fn check(bytes: &[u8]) {
    if bytes.windows(4).any(|window| window == b"/dev" || window == b"/pro") {
        return; // paths in it are opened, and some of those never end
    }
    for verification in [Verification::Required, Verification::Skipped] {
        let said = match ApiServerConnection::kubeconfig_text(bytes, Path::new("/nonexistent/config"), verification) {
            Ok(connection) => {
                usable(&connection);
                format!("{connection:?}")
            }
            Err(refused) => refused.to_string(),
        };
        assert!(!said.chars().any(char::is_control), "more than a line: {said:?}");
        assert!(said.len() < 16 * 1_024, "{} bytes of {said:.80}", said.len());
        if said.starts_with("it is not a kubeconfig in YAML at") {
            assert!(
                said.chars()
                    .filter(|c| !c.is_ascii_digit())
                    .eq("it is not a kubeconfig in YAML at line , column ".chars())
            );
        }
        hushed(bytes, &said);
    }
}

fn usable(connection: &ApiServerConnection) {
    assert!(connection.server.to_ascii_lowercase().starts_with("http"), "{}", connection.server);
    assert!(!connection.server.contains(['?', '#', '@', ' ', '\n']), "{}", connection.server);
    assert!(!matches!(&connection.auth, Auth::Token(token) if token.expose() != token.expose().trim()));
}

/// Texts that stand under the name of a secret and nowhere else are in nothing that is said.
fn hushed(bytes: &[u8], said: &str) {
    if !is_shallow(bytes) {
        return;
    }
    let documents = std::str::from_utf8(bytes).ok().and_then(|text| YamlLoader::load_from_str(text).ok());
    let (mut secrets, mut public) = (Vec::new(), HashMap::new());
    for document in documents.iter().flatten() {
        sort(document, Sensitivity::Public, &mut secrets, &mut public);
    }
    // A secret that is told apart from the words of messages: long, one word, with a digit in it.
    let telling = |secret: &&String| {
        secret.len() >= SHORTEST_SECRET && !secret.contains(' ') && secret.contains(|c: char| c.is_ascii_digit())
    };
    for secret in secrets.iter().filter(telling) {
        let told_elsewhere = public.keys().any(|text: &String| text.contains(secret.trim()));
        assert!(told_elsewhere || !said.contains(secret.trim()), "{said:?} tells {secret:?}");
    }
}

/// Whether a text stands under the name of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sensitivity {
    Public,
    Secret,
}

fn sort(yaml: &Yaml, place: Sensitivity, secrets: &mut Vec<String>, public: &mut HashMap<String, ()>) {
    match yaml {
        Yaml::String(text) if place == Sensitivity::Secret => secrets.push(text.clone()),
        Yaml::String(text) => drop(public.insert(text.clone(), ())),
        Yaml::Array(items) => items.iter().for_each(|item| sort(item, place, secrets, public)),
        Yaml::Hash(fields) => fields.iter().for_each(|(name, value)| {
            sort(name, place, secrets, public);
            let named = name.as_str().is_some_and(|name| ["token", "client-key-data", "password"].contains(&name));
            sort(value, if named { Sensitivity::Secret } else { place }, secrets, public);
        }),
        _ => {}
    }
}

/// The loader here follows every nesting and copies every alias: it gets what it can stand.
fn is_shallow(bytes: &[u8]) -> bool {
    let marks = bytes.iter().filter(|byte| b"-?:[{".contains(byte)).count();
    bytes.len() <= 4_096 && marks <= 400 && !bytes.contains(&b'*')
}

/// Shorter texts stand in messages by chance.
const SHORTEST_SECRET: usize = 12;
