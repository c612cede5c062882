//! Golden requests: each folder below `tests/golden` is one request to the real binary and everything that follows
//! from it. Its log is searched for every secret of the case.
//!
//! A folder holds `why` (one sentence), `flags` (one a line), `cluster.json`, `request` (as sent, with LF for CRLF,
//! the sender's address on the first line, tokens as [`with_tokens`] says), `reply` and `log`. What differs from run to run stands in angle brackets.
//! `KUBE2IAM_WRITE_GOLDEN=1 cargo test --test golden` writes `reply` and `log` anew.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "standins/mod.rs"]
mod standins;

use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use serde_json::Value;

use standins::Lab;
use standins::client;
use standins::kubernetes::PodSpec;

#[test]
fn every_golden_request_gets_its_reply_and_its_line() {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 12, "{} cases", folders.len());
    let faults: Vec<String> = folders.iter().filter_map(|case| check(case).err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn check(case: &Path) -> Result<(), String> {
    let lab = Lab::start();
    populate(&lab, &serde_json::from_str(&read(case, "cluster.json")).unwrap());
    let flags = read(case, "flags");
    let flags: Vec<&str> = flags.lines().collect();
    let mut agent = lab.agent(&flags);
    let request = with_tokens(&lab, &read(case, "request"));
    let (from, head) = request.split_once('\n').unwrap();
    let reply = client::raw(agent.addr(), from, head.replace('\n', "\r\n").as_bytes());
    let reply = steady(&String::from_utf8_lossy(&reply).replace("\r\n", "\n"));
    agent.stop();
    lab.assert_log_is_clean(&agent);
    let lines = agent.log();
    let line =
        lines.iter().find(|line| line.contains("req.method=")).map_or_else(String::new, |line| steady(line) + "\n");
    compare(case, "reply", &reply).and_then(|()| compare(case, "log", &line))
}

fn populate(lab: &Lab, cluster: &Value) {
    let texts = |object: &Value| -> Vec<(String, String)> {
        let fields = object.as_object().cloned().unwrap_or_default();
        fields.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect()
    };
    for (name, annotations) in cluster["namespaces"].as_object().unwrap() {
        let annotations = texts(annotations);
        let annotations: Vec<(&str, &str)> =
            annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        lab.kubernetes.add_namespace(name, &annotations);
    }
    for pod in cluster["pods"].as_array().unwrap() {
        let text = |key: &str| pod[key].as_str().unwrap_or_default();
        let spec = PodSpec::new(text("namespace"), text("name")).ip(text("address"));
        let spec = if pod["hostNetwork"] == true { spec.host_network() } else { spec };
        let spec = if text("phase").is_empty() { spec } else { spec.phase(text("phase")) };
        let spec = texts(&pod["annotations"]).iter().fold(spec, |spec, (key, value)| spec.annotation(key, value));
        lab.kubernetes.add_pod(spec);
    }
}

/// Puts tokens in the place of `<token of NAMESPACE/POD>`, which may go on with a claim and what it is instead, as JSON:
/// `<token of shop/web, aud: ["other"]>`.
fn with_tokens(lab: &Lab, request: &str) -> String {
    let place = Regex::new(r"<token of ([a-z0-9-]+)/([a-z0-9-]+)(?:, ([a-z.]+): ([^>]*))?>").unwrap();
    let token = |found: &regex_lite::Captures<'_>| {
        let mut claims = lab.kubernetes.claims(&found[1], &found[2]);
        if let (Some(claim), Some(value)) = (found.get(3), found.get(4)) {
            claims[claim.as_str()] = serde_json::from_str(value.as_str()).unwrap();
        }
        lab.kubernetes.sign(&claims)
    };
    place.replace_all(request, token).into_owned()
}

/// Replaces what differs from run to run.
fn steady(text: &str) -> String {
    let rules = [
        (r"Date: [^\n]+", "Date: <date>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
        (r"took [0-9.]+ ms", "took <n> ms"),
        (r"res.duration=[0-9.e-]+", "res.duration=<n>"),
        (r"ASIASTANDIN\d+", "<key id>"),
        (r#""SecretAccessKey":"[^"]+""#, "\"SecretAccessKey\":\"<secret>\""),
        (r#""Token":"[^"]+""#, "\"Token\":\"<token>\""),
        (r"\n[A-Za-z0-9_-]{60}$", "\n<session token>"),
        (r"Content-Length: \d{3}", "Content-Length: <nnn>"),
        (r"127\.0\.0\.1:\d+", "<address>"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
        Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    })
}

fn read(case: &Path, name: &str) -> String {
    fs::read_to_string(case.join(name)).unwrap_or_else(|cause| panic!("{}/{name}: {cause}", case.display()))
}

fn compare(case: &Path, name: &str, found: &str) -> Result<(), String> {
    if std::env::var_os("KUBE2IAM_WRITE_GOLDEN").is_some() {
        fs::write(case.join(name), found).unwrap();
    }
    let wanted = read(case, name);
    let why = read(case, "why");
    if wanted == found {
        Ok(())
    } else {
        Err(format!("{}: {}{name} should be\n{wanted}\nand is\n{found}", case.display(), why))
    }
}
