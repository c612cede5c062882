//! Every way to write a path that somebody might take for the way to a secret, as lists and their products.

use std::collections::BTreeSet;

/// All targets, each once.
pub fn spellings() -> BTreeSet<String> {
    SECRETS.iter().flat_map(|secret| of_secret(secret)).collect()
}

/// What belongs to the node alone, below a version.
const SECRETS: &[&str] = &[
    "meta-data/iam/security-credentials/node-role",
    "meta-data/iam/security-credentials-extended/node-role",
    "meta-data/iam/security-credentials/",
    "meta-data/iam/info",
    "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
    "meta-data/identity-credentials/ec2/info",
    "meta-data/managed-ssh-keys/signer-cert",
    "dynamic/instance-identity/signature",
    "dynamic/instance-identity/pkcs7",
    "dynamic/instance-identity/rsa2048",
    "dynamic/fws/instance-monitoring",
    "user-data",
];

fn of_secret(secret: &str) -> Vec<String> {
    let plain = format!("/latest/{secret}");
    let mut all = Vec::new();
    all.extend(VERSIONS.iter().map(|version| format!("{version}/{secret}")));
    all.extend(AUTHORITIES.iter().map(|authority| format!("{authority}{plain}")));
    all.extend(TAILS.iter().map(|tail| format!("{plain}{tail}")));
    all.extend(DETOURS.iter().map(|detour| format!("{detour}/{secret}")));
    all.extend(SEPARATORS.iter().flat_map(|separator| separated(&plain, separator)));
    all.extend(MARKS.iter().flat_map(|(before, behind)| marked(&plain, before, behind)));
    let written: [fn(&str) -> String; 8] =
        [upper, title, alternating, encoded, encoded_low, twice, thrice, every_third];
    all.extend(written.iter().flat_map(|write| written_so(&plain, *write)));
    // A detour or a mark in another case, or another encoding of it.
    all.extend(MARKS.iter().flat_map(|(before, behind)| marked(&plain, before, behind)).map(|target| upper(&target)));
    all.extend(DETOURS.iter().map(|detour| format!("{detour}/{}", encoded(secret))));
    all
}

const VERSIONS: &[&str] = &[
    "/latest",
    "/LATEST",
    "/Latest",
    "/2021-03-23",
    "/2009-04-04",
    "/1.0",
    "/2016-09-02",
    "/latest%20",
    "/latest;v=1",
    "/%6catest",
    "/latest.",
    "/latest%00",
    "/9999-99-99",
    "",
    "/",
    "/latest/latest",
    "/x",
    "/latest/2021-03-23",
];

const AUTHORITIES: &[&str] = &[
    "http://169.254.169.254",
    "HTTP://169.254.169.254",
    "http://169.254.169.254:80",
    "http://169.254.169.254:8181",
    "http://[fd00:ec2::254]",
    "http://instance-data",
    "http://INSTANCE-DATA:80",
    "http://evil.example",
    "http://user@169.254.169.254",
    "http://169.254.169.254@evil.example",
    "https://169.254.169.254",
    "ftp://169.254.169.254",
    "http://",
    "//169.254.169.254",
    "169.254.169.254:80",
    "http://0xa9fea9fe",
    "http://2852039166",
];

const TAILS: &[&str] = &[
    "/",
    "//",
    "/.",
    "/./",
    "/x/..",
    "/..;/",
    "?",
    "?x",
    "?x=/../..",
    "?recursive=true",
    "?%2e%2e",
    "#",
    "#x",
    "%3f",
    "%3fx",
    "%23",
    "%23x",
    ";",
    ";x",
    ";a=b",
    "%3b",
    "%3bx",
    "%00",
    "%00.txt",
    "%20",
    "%09",
    "%0a",
    "%0d%0aX:%20y",
    ".",
    "..",
    "...",
    "~",
    "+",
    "*",
    ".json",
    ".html",
    "&x",
    "%26x",
    "=",
    "@",
    ":80",
    "%7f",
    "%a0",
    "%e2%80%8b",
    "%ef%bc%8f",
    "\\",
    "%5c",
    "/%2e",
    "%2f",
    "%2e",
    "%",
    "%4",
    "%zz",
];

const DETOURS: &[&str] = &[
    "//latest",
    "/./latest",
    "/x/../latest",
    "/latest/./",
    "/latest/x/..",
    "/latest//",
    "/latest/meta-data/../",
    "/latest/%2e",
    "/latest/x/%2e%2e",
    "/latest/x/%2E%2E/",
    "/latest/%252e",
    "/latest/x/%252e%252e",
    "/../latest",
    "/../../latest",
    "/latest/meta-data/placement/../..",
    "/latest/..;/latest",
    "/latest/x/..%2f",
    "/latest/%c0%ae",
    "/latest/meta-data/tags/instance/../../..",
    "/healthz/../latest",
    "/latest/api/token/../..",
    "/latest/x%2f..",
    "/latest/meta-data/iam/security-credentials/app/../../../../../latest",
];

const SEPARATORS: &[&str] = &[
    "//",
    "/./",
    "/x/../",
    "\\",
    "/\\",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "%252f",
    "%25252f",
    "%255c",
    "/;/",
    "/;x/",
    "/%2e/",
    "/%20/",
    "%c0%af",
    "%e0%80%af",
    "/%00/",
    ";/",
    "%u002f",
    "/.;/",
    "/%2e%2e/latest/",
];

/// Before and behind one segment.
const MARKS: &[(&str, &str)] = &[
    ("", ";"),
    ("", ";x=1"),
    ("", "%3b"),
    ("", "%00"),
    ("", "%00x"),
    ("", "%20"),
    ("", "%09"),
    ("", "%0a"),
    ("", "%0d"),
    ("", "."),
    ("", ".."),
    ("", "%2e"),
    ("", "+"),
    ("", "~"),
    ("", "-"),
    ("", ","),
    ("", ":"),
    ("", "="),
    ("", "@"),
    ("", "%7f"),
    ("", "%c2%a0"),
    ("", "%e2%80%8b"),
    ("%20", ""),
    ("%09", ""),
    (".", ""),
    ("+", ""),
    ("-", ""),
    ("%00", ""),
    ("%c2%a0", ""),
    ("%e2%80%8b", ""),
    ("", "\t"),
    ("", "?"),
    ("", "#"),
    ("", "%23"),
    ("", "%3f"),
    ("", "*"),
    ("\u{feff}", ""),
    ("", "\u{131}"),
];

/// With another separator everywhere, and in front of the last segment alone.
fn separated(path: &str, separator: &str) -> [String; 2] {
    let (front, last) = path.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
    [path.trim_start_matches('/').replace('/', separator), format!("{front}{separator}{last}")]
        .map(|path| if path.starts_with('/') { path } else { format!("/{path}") })
}

/// With marks around each segment in turn.
fn marked(path: &str, before: &str, behind: &str) -> Vec<String> {
    let segments: Vec<&str> = path.split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
    let one = |at: usize| {
        let written = segments.iter().enumerate().map(|(number, segment)| {
            if number == at { format!("/{before}{segment}{behind}") } else { format!("/{segment}") }
        });
        written.collect::<String>()
    };
    (0..segments.len()).map(one).collect()
}

/// With everything, and with each segment in turn, written differently.
fn written_so(path: &str, write: fn(&str) -> String) -> Vec<String> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let one = |at: Option<usize>| {
        let written = segments.iter().enumerate().map(|(number, segment)| {
            if at.is_none_or(|at| at == number) { format!("/{}", write(segment)) } else { format!("/{segment}") }
        });
        written.collect::<String>()
    };
    std::iter::once(None).chain((0..segments.len()).map(Some)).map(one).collect()
}

fn upper(text: &str) -> String {
    text.to_ascii_uppercase()
}

fn title(text: &str) -> String {
    text.split('-')
        .map(|word| word[..word.len().min(1)].to_ascii_uppercase() + word.get(1..).unwrap_or(""))
        .collect::<Vec<_>>()
        .join("-")
}

fn alternating(text: &str) -> String {
    text.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The first letter alone.
fn encoded_low(text: &str) -> String {
    text.bytes()
        .enumerate()
        .map(|(at, byte)| if at == 0 { format!("%{byte:02x}") } else { char::from(byte).to_string() })
        .collect()
}

fn twice(text: &str) -> String {
    text.bytes().map(|byte| format!("%25{byte:02x}")).collect()
}

fn thrice(text: &str) -> String {
    text.bytes().map(|byte| format!("%2525{byte:02x}")).collect()
}

/// Plain, encoded once, encoded twice, by turns.
fn every_third(text: &str) -> String {
    let write = |(at, byte): (usize, u8)| match at % 3 {
        0 => char::from(byte).to_string(),
        1 => format!("%{byte:02x}"),
        _ => format!("%25{byte:02x}"),
    };
    text.bytes().enumerate().map(write).collect()
}
