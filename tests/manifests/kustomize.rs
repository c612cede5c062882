//! Renders what is in `manifests/` with `kubectl kustomize`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::tools;

/// What kubectl must be able to do came with 1.22 (kustomize 4.2: components, labels); Debian 12 packages an older one.
const PACKAGE: &str = "kubectl 1.22 or newer";

/// One rendered kustomization.
pub(crate) struct Rendered {
    pub(crate) name: String,
    pub(crate) objects: Vec<Value>,
}

impl Rendered {
    pub(crate) fn of_kind(&self, kind: &str) -> &Value {
        self.objects.iter().find(|object| object["kind"] == *kind).unwrap()
    }
}

/// The base and every overlay, and every component on top of the base; `None` if the test is to be skipped.
pub(crate) fn every_one() -> Option<&'static [Rendered]> {
    static ALL: OnceLock<Option<Vec<Rendered>>> = OnceLock::new();
    ALL.get_or_init(render_all).as_deref()
}

fn render_all() -> Option<Vec<Rendered>> {
    let kubectl = tools::find("kubectl", PACKAGE)?;
    let manifests = tools::project().join("manifests");
    let mut rendered = vec![render(&kubectl, "base", &manifests.join("base"))];
    for overlay in directories(&manifests.join("overlays")) {
        rendered.push(render(&kubectl, &name_of(&overlay), &overlay));
    }
    rendered.extend(directories(&manifests.join("components")).iter().map(|path| with_component(&kubectl, path)));
    Some(rendered)
}

/// A component needs something to be put on.
fn with_component(kubectl: &Path, component: &Path) -> Rendered {
    let name = name_of(component);
    let text = format!("resources: [manifests/base]\ncomponents: [manifests/components/{name}]\n");
    Rendered { objects: render_beside(kubectl, &text), name: format!("base with {name}") }
}

/// The objects of a kustomization of a user's own; `None` if the test is to be skipped.
pub(crate) fn render_text(kustomization: &str) -> Option<Vec<Value>> {
    Some(render_beside(&tools::find("kubectl", PACKAGE)?, kustomization))
}

/// kustomize reads no absolute paths, so the tree stands beside the kustomization.
fn render_beside(kubectl: &Path, kustomization: &str) -> Vec<Value> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let scratch = tools::empty_dir(&format!("kustomize-{number}-{}", std::process::id()));
    stand_beside(&tools::project().join("manifests"), &scratch.join("manifests"));
    fs::write(scratch.join("kustomization.yaml"), kustomization).unwrap();
    let rendered = render(kubectl, "", &scratch);
    fs::remove_dir_all(scratch).unwrap();
    rendered.objects
}

/// Copies what a kustomization of a user's own would name by URL.
fn stand_beside(manifests: &Path, copy: &Path) {
    let from = ["base", "components", "overlays"].map(|part| manifests.join(part));
    fs::create_dir_all(copy).unwrap();
    tools::run(Command::new("cp").arg("-r").args(from).arg(copy)).unwrap();
}

fn render(kubectl: &Path, name: &str, dir: &Path) -> Rendered {
    let text = tools::stdout_of(Command::new(kubectl).arg("kustomize").arg(dir));
    Rendered { name: name.to_owned(), objects: objects(&text) }
}

/// The objects of a text with several YAML documents.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    YamlLoader::load_from_str(text).unwrap().into_iter().map(json).filter(Value::is_object).collect()
}

fn json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Real(_) => yaml.as_f64().unwrap().into(),
        Yaml::Integer(number) => number.into(),
        Yaml::String(text) => text.into(),
        Yaml::Boolean(flag) => flag.into(),
        Yaml::Array(items) => items.into_iter().map(json).collect(),
        Yaml::Hash(fields) => {
            fields.into_iter().map(|(name, value)| (json(name).as_str().unwrap().to_owned(), json(value))).collect()
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap().to_str().unwrap().to_owned()
}
