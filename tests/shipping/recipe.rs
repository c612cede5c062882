//! The release script: what it refuses, and that two checkouts of a tag make the same files. Stand-ins take the place of
//! the two files, whose builds [`crate::release`] and `.ci/arm64` try.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::release::{cargo, copy_of_the_tree, linked_crates};
use crate::tools;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
/// All that don't build for minutes.
const CHEAP_STEPS: [&str; 5] = ["image", "sbom", "notices", "sums", "sign"];
/// The author's date of commits, so that two clones make the same one.
const COMMITTED_AT: &str = "2026-01-02T03:04:05Z";

/// A clone whose changelog is dated.
struct Checkout(PathBuf);

impl Checkout {
    fn new(name: &str) -> Self {
        let checkout = Self(copy_of_the_tree(name));
        checkout.date_the_changelog("2026-01-02");
        checkout.commit_and_tag();
        checkout
    }

    /// Puts `date` into the heading of the version's section, whatever stands there.
    fn date_the_changelog(&self, date: &str) {
        let path = self.0.join("CHANGELOG.md");
        let heading = format!("## {VERSION} - ");
        let dated = fs::read_to_string(&path).unwrap().lines().fold(String::new(), |text, line| {
            let line = if line.starts_with(&heading) { &format!("{heading}{date}") } else { line };
            text + line + "\n"
        });
        assert!(dated.contains(&heading), "the changelog has no section {VERSION}");
        fs::write(path, dated).unwrap();
    }

    fn commit_and_tag(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "Date the release"]);
        self.git(&["tag", "--force", &format!("v{VERSION}")]);
    }

    fn git(&self, words: &[&str]) {
        let who = ["-c", "user.name=test", "-c", "user.email=test@invalid", "-c", "commit.gpgSign=false"];
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.0).args(who).args(words);
        tools::run(git.env("GIT_AUTHOR_DATE", COMMITTED_AT).env("GIT_COMMITTER_DATE", COMMITTED_AT)).unwrap();
    }

    /// The script on this checkout, with the environment of a shell.
    fn release(&self, tag: &str, directory: &Path, steps: &[&str]) -> Command {
        let mut script = Command::new(self.0.join(".ci/release"));
        script.arg(tag).arg(directory).args(steps).env_remove("MINISIGN_KEY");
        script
    }
}

/// A release's directory with stand-ins for what the step `build` makes.
fn with_stand_ins(name: &str) -> PathBuf {
    let directory = tools::empty_dir(name);
    for arch in ["amd64", "arm64"] {
        fs::write(directory.join(format!("kube2iam-{VERSION}-linux-{arch}")), format!("for {arch}")).unwrap();
    }
    fs::write(directory.join("BUILD.txt"), "stand-ins\n").unwrap();
    directory
}

/// Fetches what Cargo.lock names, of which a machine may have only its own part.
fn fetch() {
    let targets = TARGETS.iter().flat_map(|target| ["--target", target]);
    tools::run(cargo().current_dir(tools::project()).args(["fetch", "--quiet", "--locked"]).args(targets)).unwrap();
}

#[test]
fn a_release_is_refused_unless_tree_tag_and_version_agree() {
    let checkout = Checkout::new("refusals");
    let directory = tools::empty_dir("refusals-made");
    let tag = format!("v{VERSION}");
    let refused = |tag: &str, step: &str, why: &str| {
        let told = tools::run(&mut checkout.release(tag, &directory, &[step])).unwrap_err();
        assert!(told.contains(&format!("release: {why}")), "wanted `{why}`:\n{told}");
    };
    // What agrees gets as far as the files.
    refused(&tag, "sums", "not made yet: BUILD.txt");
    refused(&tag, "fly", "there is no step `fly`");
    refused("v99.0.0", "sums", "the tag is `v99.0.0`, but Cargo.toml's version is");
    fs::write(checkout.0.join("more"), "").unwrap();
    refused(&tag, "sums", "the tree has uncommitted or untracked files");
    checkout.git(&["add", "--all"]);
    checkout.git(&["commit", "--quiet", "--message", "After the tag"]);
    refused(&tag, "sums", &format!("HEAD is not at tag `{tag}`"));
    checkout.date_the_changelog("unreleased");
    checkout.commit_and_tag();
    refused(&tag, "sums", &format!("CHANGELOG.md has no dated section {VERSION}"));
    checkout.date_the_changelog("2026-01-02");
    for (file, word, why) in [
        ("overlays/non-root/kustomization.yaml", "newTag", format!("these name another version than {VERSION}")),
        (
            "chart/kube2iam/Chart.yaml",
            "appVersion",
            format!("manifests/chart/kube2iam/Chart.yaml lacks `appVersion: {VERSION}`"),
        ),
    ] {
        let path = checkout.0.join("manifests").join(file);
        let older =
            fs::read_to_string(&path).unwrap().replace(&format!("{word}: {VERSION}"), &format!("{word}: 0.0.1"));
        fs::write(&path, older).unwrap();
        checkout.commit_and_tag();
        refused(&tag, "sums", &why);
    }
    fs::remove_dir_all(&checkout.0).unwrap();
}

/// A key pair without a password, as (secret, public).
fn key_pair(minisign: &Path) -> (PathBuf, PathBuf) {
    let directory = tools::empty_dir("release-key");
    let (secret, public) = (directory.join("secret"), directory.join("public"));
    tools::run(Command::new(minisign).args(["-G", "-W", "-s"]).arg(&secret).arg("-p").arg(&public)).unwrap();
    (secret, public)
}

#[test]
fn two_checkouts_of_a_tag_make_the_same_files_with_sums_and_a_signature_that_hold() {
    let wanted = [
        ("buildah", "Debian: buildah"),
        ("jq", "Debian: jq"),
        ("python3", "Debian: python3"),
        ("cargo-cyclonedx", "cargo install cargo-cyclonedx"),
    ];
    let Some(minisign) = tools::find("minisign", "Debian: minisign") else { return };
    if !wanted.iter().all(|(program, package)| tools::find(program, package).is_some()) {
        return;
    }
    if !rustix::process::getuid().is_root() {
        return tools::skip("building the images of a release (needs root)");
    }
    fetch();
    let (secret, public) = key_pair(&minisign);
    let [first, second] = ["one", "two"].map(|name| {
        let checkout = Checkout::new(&format!("builder-{name}"));
        let made = with_stand_ins(&format!("made-{name}"));
        let mut script = checkout.release(&format!("v{VERSION}"), &made, &CHEAP_STEPS);
        tools::run(script.env("MINISIGN_KEY", &secret)).unwrap();
        fs::remove_dir_all(checkout.0).unwrap();
        made
    });
    for name in ["SHA256SUMS", "SHA256SUMS.minisig"] {
        let [one, two] = [&first, &second].map(|made| fs::read_to_string(made.join(name)).unwrap());
        assert_eq!(one, two, "{name}");
    }
    the_image_is_for_both_machines(&first);

    let verified = || {
        let sums = first.join("SHA256SUMS");
        let signature = tools::run(Command::new(&minisign).args(["-V", "-p"]).arg(&public).arg("-m").arg(sums));
        let files =
            tools::run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&first));
        (signature.is_ok(), files.is_ok())
    };
    assert_eq!(verified(), (true, true));
    fs::write(first.join("LICENSE"), "another").unwrap();
    assert_eq!(verified(), (true, false), "another file than was summed");
    let sums = fs::read_to_string(first.join("SHA256SUMS")).unwrap();
    fs::write(first.join("SHA256SUMS"), sums.replacen('a', "b", 1)).unwrap();
    assert!(!verified().0, "other sums than were signed");
}

/// The archive's list names both machines, and the digests beside it are its own.
fn the_image_is_for_both_machines(made: &Path) {
    let layout = tools::empty_dir("release-image");
    let archive = made.join(format!("kube2iam-{VERSION}-image.tar"));
    tools::run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&layout)).unwrap();
    let blob = |digest: &Value| {
        let path = layout.join("blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"));
        serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()
    };
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let list_digest = &index["manifests"][0]["digest"];
    let list = blob(list_digest);
    let mut digests = vec![format!("manifest list {}", list_digest.as_str().unwrap())];
    let mut machines = Vec::new();
    for image in list["manifests"].as_array().unwrap() {
        let machine = image["platform"]["architecture"].as_str().unwrap();
        digests.push(format!("linux/{machine} {}", image["digest"].as_str().unwrap()));
        let config = blob(&blob(&image["digest"])["config"]["digest"]);
        assert_eq!(config["architecture"], machine);
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], VERSION);
        machines.push(machine);
    }
    assert_eq!(machines, ["amd64", "arm64"]);
    let told = fs::read_to_string(made.join("image-digests.txt")).unwrap();
    assert_eq!(told.lines().collect::<Vec<_>>(), digests);
}

#[test]
fn a_release_without_a_key_says_so() {
    let checkout = Checkout::new("unsigned");
    let made = with_stand_ins("made-unsigned");
    let ran = tools::run(&mut checkout.release(&format!("v{VERSION}"), &made, &["sign"])).unwrap();
    assert!(String::from_utf8(ran.stderr).unwrap().contains("NOT SIGNED: set MINISIGN_KEY"));
    assert!(!made.join("SHA256SUMS.minisig").exists());
    fs::remove_dir_all(checkout.0).unwrap();
}

/// Each with its version, its licence and at least one text; none of the tests'; the same bytes every time.
#[test]
fn the_notices_name_every_linked_crate_with_its_text() {
    if tools::find("python3", "Debian: python3").is_none() {
        return;
    }
    fetch();
    let notices = || tools::stdout_of(&mut Command::new(tools::project().join(".ci/notices.py")));
    let text = notices();
    assert_eq!(text, notices());
    let lines: Vec<&str> = text.lines().collect();
    for target in TARGETS {
        for line in linked_crates(target).lines() {
            let mut words = line.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
            if name == env!("CARGO_PKG_NAME") {
                continue;
            }
            let heading = format!("{name} {version}: ");
            let place = lines.iter().position(|line| line.starts_with(&heading));
            let place = place.unwrap_or_else(|| panic!("{name} {version} is missing"));
            let number = lines[place + 1].strip_prefix("    text ").and_then(|rest| rest.split(' ').next());
            assert!(lines.contains(&&*format!("Text {}", number.unwrap())), "{name} has no text");
        }
    }
    assert!(!lines.iter().any(|line| line.starts_with("proptest ")), "a crate of the tests is listed");
    assert!(text.contains("GNU LESSER GENERAL PUBLIC LICENSE"), "the C library's licence is missing");
}

#[test]
fn shellcheck_has_nothing_to_say_about_the_scripts() {
    let Some(shellcheck) = tools::find("shellcheck", "Debian: shellcheck") else { return };
    let entries = fs::read_dir(tools::project().join(".ci")).unwrap().map(|entry| entry.unwrap().path());
    let scripts: Vec<PathBuf> = entries.filter(|path| path.extension().is_none()).collect();
    assert!(scripts.len() >= 5, "{scripts:?}");
    let judged = tools::run(Command::new(shellcheck).args(scripts));
    assert!(judged.is_ok(), "{}", judged.unwrap_err());
}
