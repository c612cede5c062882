//! Every fuzzer's corpus, the recorded answers, and mutations of both, without a fuzzer: the same checks in `cargo test`.
//!
//! Mutations are drawn from a seed, `KUBE2IAM_FUZZ_SEED` or a fixed one; a failure prints it, the file and the bytes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

type Check = fn(&[u8]);

#[test]
fn every_path_of_the_corpus_keeps_its_promise() {
    run("path", checks::path::check, &[], 12);
}

#[test]
fn every_head_of_the_corpus_has_one_reading() {
    run("head", checks::head::check, &[], 8);
}

#[test]
fn every_line_of_a_watch_is_understood_or_named() {
    run("watch", checks::watch::check, &["kubernetes"], 10);
}

#[test]
fn every_answer_of_sts_is_whole_or_refused_without_its_secrets() {
    run("sts", checks::sts::check, &["sts"], 15);
}

#[test]
fn every_name_in_an_annotation_means_what_a_simple_reader_says() {
    run("names", checks::names::check, &[], 15);
}

#[test]
fn every_kubeconfig_is_used_or_refused_in_a_line() {
    run("kubeconfig", checks::kubeconfig::check, &[], 25);
}

#[test]
fn every_token_that_was_not_issued_is_refused() {
    run("token", checks::token::check, &[], 2);
}

#[test]
fn every_pods_token_proves_what_it_says_and_only_if_it_is_signed() {
    run("projected", checks::projected::check, &[], 12);
}

/// Each target of the fuzzers has its corpus, and each corpus its target.
#[test]
fn every_fuzzer_has_its_corpus() {
    let names = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> =
            entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let (targets, corpora) = (names("tests/fuzz/targets"), names("tests/fuzz/corpus"));
    assert_eq!(targets, corpora);
    assert_eq!(targets, ["head", "kubeconfig", "names", "path", "projected", "sts", "token", "watch"]);
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    assert!(targets.iter().all(|target| manifest.contains(&format!("path = \"targets/{target}.rs\""))));
}

/// Checks the whole corpus, then `rounds` mutations of each of its files.
fn run(target: &str, check: Check, recorded: &[&str], rounds: u32) {
    let mut inputs = files(&root().join("tests/fuzz/corpus").join(target));
    assert!(inputs.len() >= 10, "the corpus of `{target}` has {} files", inputs.len());
    for folder in recorded {
        inputs.extend(files(&root().join("tests/fixtures").join(folder)).into_iter().flat_map(bodies));
    }
    let seed = seed();
    let mut random = Random(seed);
    for (name, bytes) in &inputs {
        must_hold(check, bytes, &format!("{target}/{name}"));
    }
    for (name, bytes) in inputs.iter().filter(|(_, bytes)| bytes.len() <= LONGEST_MUTATED) {
        for round in 0..rounds {
            let other = &inputs[random.below(inputs.len())].1;
            let mutated = random.mutate(bytes, other);
            must_hold(check, &mutated, &format!("{target}/{name}, mutation {round} of seed {seed}"));
        }
    }
}

fn must_hold(check: Check, bytes: &[u8], what: &str) {
    if let Err(failure) = catch_unwind(AssertUnwindSafe(|| check(bytes))) {
        eprintln!("{what} fails: b\"{}\"", bytes.escape_ascii());
        resume_unwind(failure);
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
    files.into_iter().map(named).collect()
}

/// The body of a recorded answer, and each of its lines.
fn bodies((name, exchange): (String, Vec<u8>)) -> Vec<(String, Vec<u8>)> {
    let head = exchange.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let body = &exchange[head..];
    let lines = body.split(|byte| *byte == b'\n').filter(|line| line.len() > 2 && line.len() < body.len());
    let lines = lines.enumerate().map(|(number, line)| (format!("{name} line {number}"), line.to_vec()));
    std::iter::once((name.clone(), body.to_vec())).chain(lines).collect()
}

fn seed() -> u64 {
    std::env::var("KUBE2IAM_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Xorshift (G. Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end.max(1)
    }

    /// One to three changes: bits, bytes, pieces taken out, doubled, turned round, encoded or brought in from elsewhere.
    fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let start = self.below(bytes.len() + 1);
            let end = (start + self.below(9)).min(bytes.len());
            let piece = bytes[start..end].to_vec();
            let new: Vec<u8> = match self.below(8) {
                0 => piece.iter().map(|byte| byte ^ 1 << self.below(8)).collect(),
                1 => Vec::new(),
                2 => piece.repeat(2 + self.below(3)),
                3 => piece.iter().rev().copied().collect(),
                4 => piece.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect(),
                5 => piece.iter().map(|byte| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte }).collect(),
                6 => MARKS[self.below(MARKS.len())].to_vec(),
                _ => {
                    let from = self.below(other.len());
                    other[from..(from + self.below(24)).min(other.len())].to_vec()
                }
            };
            bytes.splice(start..end, new);
        }
        bytes
    }
}

const MARKS: [&[u8]; 24] = [
    b"/", b"..", b"%2f", b"%252f", b"\\", b";", b"\0", b"%", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\"", b"*",
    b"^", b"$", b"|", b"<", b">", b"&", b"{", b"\xff",
];
/// Longer recordings are only run as they are.
const LONGEST_MUTATED: usize = 8 * 1_024;
