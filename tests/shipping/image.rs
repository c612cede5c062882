//! The image, built by buildah without an engine and without a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{release, tools};

/// buildah with its storage in a directory of the test's own.
struct Buildah {
    program: PathBuf,
    storage: PathBuf,
}

impl Buildah {
    /// Runs with no network but an empty one of its own.
    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(&self.program).args(["--storage-driver", "vfs", "--root"]);
        command.arg(self.storage.join("root")).arg("--runroot").arg(self.storage.join("run"));
        command
    }

    fn say(&self, words: &[&str]) -> String {
        tools::stdout_of(self.command().args(words)).trim().to_owned()
    }
}

/// Builds the image from a directory with the file, the recipe, and something that must not get in.
fn image(file: &Path) -> Option<Buildah> {
    let program = tools::find("buildah", "Debian: buildah")?;
    if !rustix::process::getuid().is_root() {
        tools::skip("building an image (needs root)");
        return None;
    }
    let context = tools::empty_dir("image-context");
    let place = context.join("target").join(release::TARGET).join("release");
    fs::create_dir_all(&place).unwrap();
    fs::copy(file, place.join("kube2iam")).unwrap();
    fs::write(context.join("secret"), "not for the image").unwrap();
    for name in ["Dockerfile.scratch", ".dockerignore"] {
        fs::copy(tools::project().join(name), context.join(name)).unwrap();
    }
    let buildah = Buildah { program, storage: tools::empty_dir("image-storage") };
    let binary = format!("BINARY=target/{}/release/kube2iam", release::TARGET);
    let arguments = ["--build-arg", &binary, "--build-arg", "REVISION=abc", "--tag", "kube2iam:test"];
    let mut build = buildah.command();
    build.args(["bud", "--isolation", "chroot"]).args(arguments).arg("--file").arg(context.join("Dockerfile.scratch"));
    tools::run(build.arg(&context)).unwrap();
    Some(buildah)
}

#[test]
fn the_image_is_one_file_and_runs() {
    let Some(file) = release::file() else { return };
    let Some(buildah) = image(file) else { return };
    let told: Value = serde_json::from_str(&buildah.say(&["inspect", "--type", "image", "kube2iam:test"])).unwrap();
    let config = &told["OCIv1"]["config"];
    assert_eq!(config["User"], json!("0:0"));
    assert_eq!(config["Entrypoint"], json!(["/kube2iam"]));
    assert_eq!(told["OCIv1"]["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap().to_owned();
    assert_eq!([label("version"), label("revision")], [env!("CARGO_PKG_VERSION"), "abc"]);
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));

    let container = buildah.say(&["from", "kube2iam:test"]);
    let root = PathBuf::from(buildah.say(&["mount", &container]));
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["kube2iam"]);
    let ran =
        tools::run(buildah.command().args(["run", "--isolation", "chroot", &container, "--", "kube2iam", "--help"]));
    assert!(ran.is_ok(), "{ran:?}");
    buildah.say(&["umount", &container]);
    fs::remove_dir_all(&buildah.storage).unwrap();
}
