//! No forwarded path leads to a secret, however a server interprets it.

use super::*;
use proptest::prelude::*;

/// Interprets a path as the most lenient server might: decoded repeatedly, cut at parameters, blanks and NULs, in
/// lower case, without dot segments. Returns its words.
fn lenient(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..4 {
        bytes = decoded(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase().replace('\\', "/");
    let mut words: Vec<String> = Vec::new();
    for word in text.split('/') {
        let word = word.split([';', '\0', '?', '#']).next().unwrap_or_default();
        match word {
            "" | "." => {}
            ".." => drop(words.pop()),
            word => words.push(word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()),
        }
    }
    words
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match pair {
            Some(value) if byte == b'%' => (decoded.push(value), rest = &after[2..]).1,
            _ => (decoded.push(byte), rest = after).1,
        }
    }
    decoded
}

fn is_secret(words: &[String]) -> bool {
    let begins = |words: &[String], tree: &[&str]| {
        words.len() >= tree.len() && words.iter().zip(tree).all(|(word, part)| word == part)
    };
    let below_version = words.get(1..).unwrap_or_default();
    ["iam", "identity-credentials", "managed-ssh-keys"]
        .iter()
        .any(|tree| begins(words, &["meta-data", tree]) || begins(below_version, &["meta-data", tree]))
        || begins(words, &["user-data"])
        || begins(below_version, &["user-data"])
        || begins(below_version, &["dynamic", "fws"])
        || begins(below_version, &["dynamic", "instance-identity"]) && words.len() > 3 && words[3] != "document"
}

fn judge(target: &str) -> Result<(), TestCaseError> {
    if let Route::Forward(path) | Route::Listing(path) = get(target) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~:@+=,".contains(&b);
        let canonical = path.as_str().bytes().all(plain) && !path.as_str().contains("//");
        prop_assert!(canonical, "{target:?} was forwarded as {path:?}");
        prop_assert!(path.query().is_none_or(|query| query.bytes().all(|b| plain(b) && b != b'/' || b == b'&')));
        prop_assert!(!is_secret(&lenient(path.as_str())), "{target:?} was forwarded as {path:?}");
        let again = path.query().map_or(path.as_str().to_owned(), |query| format!("{}?{query}", path.as_str()));
        prop_assert_eq!(get(&again), get(target), "{:?} is judged otherwise a second time", target);
    }
    Ok(())
}

/// One of each kind of path that bypassed such agents.
const SEEDS: &[&str] = &[
    r"/latest\meta-data\iam\security-credentials\node", // CVE-2022-23551 of aad-pod-identity
    "/latest/meta-data/iam/security-credentials/..%2f..%2f..%2fuser-data", // kiam #516, undisclosed: the likely paths
    "/latest/meta-data/iam/security-credentials-extended/node",
    "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
    "//latest//meta-data//iam//security-credentials//", // kube2iam #15: the node's role within reach
    "/latest/user-data",                                // kube2iam #129
    "/latest/dynamic/instance-identity/pkcs7",
    "/latest/meta-data/%69%61%6d/security-credentials/node",
    "/latest/meta-data/%2569am/security-credentials/node",
    "/latest/meta-data/%252569am/info",
    "/latest/meta-data/iam;a=b/security-credentials/node",
    "/latest/meta-data/iam%00/security-credentials/node",
    "/latest/meta-data/iam%20/security-credentials/node",
    "/latest/meta-data/iam./security-credentials./node",
    "/latest/META-DATA/IAM/SECURITY-CREDENTIALS/NODE",
    "/latest/meta-data/x/%2e%2e/iam/security-credentials/node",
    "/latest/meta-data/%c0%ae%c0%ae/%c0%afiam/info",
    "/latest/meta-data?/../iam/security-credentials/node",
    "/latest/meta-data/#/iam/info",
    "http://169.254.169.254/latest/meta-data/iam/info",
    "http://169.254.169.254@evil/latest/user-data",
    "/2009-04-04/meta-data/managed-ssh-keys/signer-cert",
    "/meta-data/iam/info",
    "/./latest/./dynamic/./fws/./x",
];

#[test]
fn no_known_bypass_is_forwarded() {
    for seed in SEEDS {
        let route = get(seed);
        assert!(!matches!(route, Route::Forward(_)), "{seed} gave {route:?}");
        judge(seed).unwrap();
    }
}

/// Pieces that turn one path into another that some server may treat alike.
const BITS: &[&str] = &[
    "/",
    "//",
    "\\",
    "%2f",
    "%2F",
    "%5c",
    "%252f",
    ".",
    "..",
    "%2e",
    "/../",
    "/./",
    ";",
    ";x",
    "%3b",
    "%00",
    "%20",
    "+",
    "%",
    "%25",
    "%4",
    "%zz",
    "?",
    "#",
    "&",
    "=",
    ":",
    "@",
    "iam",
    "IAM",
    "%69am",
    "i%61m",
    "user-data",
    "USER-DATA",
    "latest",
    "meta-data",
    "dynamic",
    "fws",
    "instance-identity",
    "document",
    "signature",
    "tags/instance/",
    "security-credentials",
    "identity-credentials",
    "managed-ssh-keys",
    "\u{131}",
    "\u{212a}",
    "\0",
    " ",
    "\t",
    "-",
    "~",
    ",",
    "http://169.254.169.254",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_forwarded_leads_to_a_secret(bits in proptest::collection::vec(0..BITS.len(), 1..14)) {
        let target: String = bits.iter().map(|bit| BITS[*bit]).collect();
        for before in ["", "/", "/latest/", "/latest/meta-data/", "/latest/dynamic/instance-identity/"] {
            judge(&format!("{before}{target}"))?;
        }
    }

    #[test]
    fn no_variation_of_a_known_bypass_leads_to_a_secret(
        seed in 0..SEEDS.len(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0..BITS.len(), 0..4_usize), 0..5),
    ) {
        let mut target: Vec<char> = SEEDS[seed].chars().collect();
        for (place, bit, removed) in edits {
            let place = place.index(target.len() + 1);
            let end = (place + removed).min(target.len());
            target.splice(place..end, BITS[bit].chars());
        }
        judge(&target.iter().collect::<String>())?;
    }

    #[test]
    fn any_bytes_are_routed_without_a_panic(target in ".*") {
        judge(&target)?;
        let _ = ask(Method::Put, &target, Facing::Node);
    }
}
