//! Paths: whatever is forwarded leads to no secret, however it is read further on. The judge here knows nothing of how
//! the agent classifies: it tries all readings that some server has ever been lenient enough for.

use std::collections::BTreeSet;

use kube2iam::for_tests::{
    CanonicalPath, Facing, Headers, IamEntry, Method, Request, Route, RouteRules, filter_listing, route_of,
};

/// The first line is a target, or the rest of one; the others are what the metadata service lists there.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (target, listing) = text.split_once('\n').unwrap_or((&text, ""));
    for before in ["", "/", "/latest/", "/latest/meta-data/", "/2021-03-23/dynamic/instance-identity/"] {
        let target = format!("{before}{target}");
        for allowed in [&[][..], &["user-data", "instance-identity", "fws", "managed-ssh-keys"]] {
            let allowed = allowed.iter().map(|word| (*word).to_owned()).collect();
            let rules =
                RouteRules { metrics: true, debug: true, container_credentials: true, allowed, denied: Vec::new() };
            let read = ask(Method::Get, &target, Facing::Metadata, &rules);
            judge(&read, &target, listing, &rules);
            for facing in [Facing::Metadata, Facing::Node] {
                METHODS.iter().for_each(|method| compare(&read, *method, &target, facing, &rules));
            }
        }
    }
}

/// What a pod that reads gets leads to no secret.
fn judge(answer: &Route, target: &str, listing: &str, rules: &RouteRules) {
    match answer {
        Route::Refuse(_) | Route::TokenMethod => {}
        Route::Token | Route::TokenOptions | Route::Page(_) => panic!("{target:?} reads as {answer:?}"),
        Route::Forward(path) | Route::Listing(path) => {
            let path_alone = path.as_str();
            let sent = path.query().map_or_else(|| path_alone.to_owned(), |query| format!("{path_alone}?{query}"));
            is_plain(&sent, target);
            assert!(!is_secret(path_alone, rules), "{target:?} goes on as {sent:?}");
            let again = ask(Method::Get, &sent, Facing::Metadata, rules);
            assert_eq!(&again, answer, "what goes on is judged as what came: {target:?}");
        }
        _ => assert!(names(target, "iam"), "{target:?} is {answer:?}"),
    }
    if let Route::Listing(path) = answer {
        listed(path, listing, rules);
    }
}

/// Another method, and another way to come, give no more than reading at the metadata address does.
fn compare(read: &Route, method: Method, target: &str, facing: Facing, rules: &RouteRules) {
    let answer = ask(method, target, facing, rules);
    let reads = matches!(method, Method::Get | Method::Head);
    let right = match &answer {
        Route::Refuse(_) | Route::TokenMethod => true,
        Route::Token => method == Method::Put && names(target, "token"),
        Route::TokenOptions => method == Method::Options && names(target, "token"),
        Route::Page(_) => reads && facing == Facing::Node,
        other => reads && other == read,
    };
    assert!(right, "{method:?} {target:?} is {answer:?}");
}

fn ask(method: Method, target: &str, facing: Facing, rules: &RouteRules) -> Route {
    route_of(&Request { method, target, headers: Headers::default() }, facing, rules)
}

/// Nothing in what goes on means anything but itself, so that nothing is left to be decoded, folded or resolved.
fn is_plain(sent: &str, target: &str) {
    let (path, query) = sent.split_once('?').unwrap_or((sent, "x"));
    let plain = |text: &str, more: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:@+=,".contains(c) || more.contains(c))
    };
    assert!(path.starts_with('/') && plain(path, "/") && !path.contains("//"), "{target:?} goes on as {sent:?}");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{target:?} goes on as {sent:?}");
    assert!(!query.is_empty() && plain(query, "&"), "{target:?} goes on as {sent:?}");
}

/// Whether any reading of any segment is a word that leads to a secret. Names of tags are the operator's.
fn is_secret(path: &str, rules: &RouteRules) -> bool {
    let segments: Vec<BTreeSet<String>> = path.split('/').filter(|segment| !segment.is_empty()).map(readings).collect();
    let is = |at: usize, word: &str| segments.get(at).is_some_and(|readings| readings.contains(word));
    if segments.len() == 5 && is(1, "meta-data") && is(2, "tags") && is(3, "instance") {
        return false;
    }
    let opened = |word: &str| rules.allowed.iter().any(|allowed| allowed == word);
    (0..segments.len()).any(|at| {
        let credentials = is(at, "iam") || segments[at].iter().any(|word| word.contains("credentials"));
        let kept = ["user-data", "fws", "managed-ssh-keys"].iter().any(|word| is(at, word) && !opened(word));
        let behind_identity = is(at, "instance-identity") && at + 1 < segments.len();
        let only_document = segments.get(at + 1).is_some_and(|readings| readings.iter().all(|word| word == "document"));
        let proof = ["signature", "pkcs7", "rsa2048"].iter().any(|word| is(at, word));
        credentials || kept || !opened("instance-identity") && (proof || behind_identity && !only_document)
    })
}

/// A segment as servers may read it: decoded on and on, in any case, as Unicode folds it, cut at what begins a parameter,
/// an ending or a comment, without marks around it, with underscores for hyphens. Readings of readings count too.
fn readings(segment: &str) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut fresh = vec![segment.to_owned()];
    while let Some(text) = fresh.pop() {
        if text.is_empty() || known.len() > MOST_READINGS || !known.insert(text.clone()) {
            continue;
        }
        fresh.push(text.to_lowercase());
        fresh.push(text.to_uppercase().to_lowercase());
        fresh.push(decoded(&text));
        fresh.push(text.replace('_', "-"));
        fresh.push(text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned());
        fresh.extend(text.char_indices().filter(|(_, c)| CUTS.contains(*c)).map(|(at, _)| text[..at].to_owned()));
    }
    known.retain(|word| *word == word.to_lowercase());
    known
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let pair = after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let (value, left) = match pair {
            Some(value) if *byte == b'%' => (value, &after[2..]),
            _ => (*byte, after),
        };
        out.push(value);
        rest = left;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a target, read as leniently as can be, speaks of `word`: only then does the agent answer for it.
fn names(target: &str, word: &str) -> bool {
    decoded(target).split('/').any(|segment| segment == word)
}

/// What is shown of a listing leads to no secret either, and nothing is shown that wasn't there.
fn listed(path: &CanonicalPath, listing: &str, rules: &RouteRules) {
    for iam in [IamEntry::Hidden, IamEntry::Shown] {
        let shown = filter_listing(path, listing, iam, rules);
        for entry in shown.lines().filter(|entry| *entry != "iam/") {
            assert!(listing.lines().any(|line| line == entry), "{entry:?} came from nowhere");
            let name = entry.strip_suffix('/').unwrap_or(entry);
            let plain = name.bytes().all(|b| b.is_ascii_graphic() && !b"%;\\/".contains(&b))
                && name != "."
                && !name.starts_with("..");
            // `0=my-key` names a key, which is asked for by its number.
            let numbered = name.split_once('=').is_some_and(|(index, _)| index.bytes().all(|b| b.is_ascii_digit()));
            let below = format!("{}/{entry}", path.as_str());
            assert!(numbered || !plain || !is_secret(&below, rules), "{below:?} is shown");
        }
        let invited = shown.lines().any(|entry| entry == "iam/");
        assert!(!invited || iam == IamEntry::Shown, "a pod without a role is invited to iam/");
    }
}

const METHODS: [Method; 8] = [
    Method::Get,
    Method::Head,
    Method::Put,
    Method::Post,
    Method::Delete,
    Method::Options,
    Method::Patch,
    Method::Other,
];
/// What may end a segment's name: parameters, endings, comments, queries, blanks, NUL.
const CUTS: &str = ";,=:@+~.!&?#$'()*| \t\r\n\0";
/// More than any segment of a sensible length has; longer ones are nobody's secret.
const MOST_READINGS: usize = 4_000;
