//! Builds the project's manifests like `kubectl kustomize`, supporting only the kustomize features that the base, the
//! overlays and the components use.

mod files;
mod patch;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::logic::base::yaml::{self, Numbers};
use files::FILES;

/// The manifests to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedManifests<'a> {
    /// `None`: the base
    pub overlay: Option<&'a str>,
    pub components: Vec<&'a str>,
    /// Replaces the image in the manifests
    pub image: Option<&'a str>,
    /// Appended to the agent's arguments
    pub flags: Vec<&'a str>,
}

/// A failure to build the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestsError {
    Unknown {
        kind: &'static str,
        known: Vec<&'static str>,
    },
    /// An embedded file is invalid, which this program's tests rule out
    Broken(String),
}

/// The objects, in an order in which they can be created.
pub fn build(wanted: &WantedManifests<'_>) -> Result<Vec<Value>, ManifestsError> {
    let top = match wanted.overlay {
        Some(name) => known("overlays", "overlay", name)?,
        None => "base".to_owned(),
    };
    let components: Vec<String> =
        wanted.components.iter().map(|name| known("components", "component", name)).collect::<Result<_, _>>()?;
    let mut objects = kustomize(&top).map_err(ManifestsError::Broken)?;
    for component in &components {
        add_kustomization(component, &mut objects).map_err(ManifestsError::Broken)?;
    }
    if let Some(image) = wanted.image {
        for_each_container(&mut objects, |container| container["image"] = json!(image));
    }
    append(&mut objects, &wanted.flags);
    Ok(objects)
}

/// The agent's command line as the kubelet starts it, with `variable` for values that depend on the node.
pub fn command_line(objects: &[Value], variable: impl Fn(&str) -> String) -> Vec<String> {
    let Some(agent) = objects.iter().find_map(|object| object.pointer(AGENT)) else { return Vec::new() };
    let expanded = |word: &str| {
        let Some(name) = word.split_once("$(").and_then(|(_, rest)| Some(rest.split_once(')')?.0)) else {
            return word.to_owned();
        };
        let given = agent["env"].as_array().into_iter().flatten().find(|one| one["name"] == name);
        let value = given.and_then(|one| one["value"].as_str()).map_or_else(|| variable(name), str::to_owned);
        word.replace(&format!("$({name})"), &value)
    };
    agent["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(expanded).collect()
}

/// The directory with this name.
fn known(directory: &'static str, kind: &'static str, name: &str) -> Result<String, ManifestsError> {
    let path = format!("{directory}/{name}");
    if !name.contains('/') && file(&format!("{path}/kustomization.yaml")).is_some() {
        return Ok(path);
    }
    let mut known: Vec<&str> = FILES
        .iter()
        .filter_map(|(path, _)| path.strip_prefix(directory)?.strip_prefix('/')?.split('/').next())
        .collect();
    known.dedup();
    Err(ManifestsError::Unknown { kind, known })
}

fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

fn documents(path: &str) -> Result<Vec<Value>, String> {
    let text = file(path).ok_or_else(|| format!("there is no `{path}`"))?;
    yaml::read_all(text, Numbers::Whole).map_err(|place| format!("failed to read `{path}`, line {}", place.line()))
}

/// The objects of a directory's kustomization.
fn kustomize(directory: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    add_kustomization(directory, &mut objects)?;
    Ok(objects)
}

/// Applies a directory's kustomization or component: resources, components, then transformations.
fn add_kustomization(directory: &str, objects: &mut Vec<Value>) -> Result<(), String> {
    let kustomization = documents(&format!("{directory}/kustomization.yaml"))?.into_iter().next().unwrap_or_default();
    for name in texts(&kustomization["resources"]) {
        let path = resolved(directory, name);
        match file(&path) {
            Some(_) => objects.extend(documents(&path)?),
            None => objects.extend(kustomize(&path)?),
        }
    }
    for name in texts(&kustomization["components"]) {
        add_kustomization(&resolved(directory, name), objects)?;
    }
    for change in kustomization["patches"].as_array().into_iter().flatten() {
        patch_objects(directory, change, objects)?;
    }
    if let Some(namespace) = kustomization["namespace"].as_str() {
        let in_namespaces =
            objects.iter_mut().filter(|object| !CLUSTER_WIDE.iter().any(|kind| object["kind"] == *kind));
        in_namespaces.for_each(|object| object["metadata"]["namespace"] = json!(namespace));
    }
    for labels in kustomization["labels"].as_array().into_iter().flatten() {
        for object in objects.iter_mut() {
            patch::merge(&mut object["metadata"]["labels"], &labels["pairs"]);
        }
    }
    for image in kustomization["images"].as_array().into_iter().flatten() {
        let text = |key: &str| image[key].as_str().unwrap_or_default();
        let wanted = format!("{}:{}", text("newName"), text("newTag"));
        for_each_container(objects, |container| {
            let held = container["image"].as_str().unwrap_or_default();
            if held.split(':').next() == Some(text("name")) {
                container["image"] = json!(wanted);
            }
        });
    }
    Ok(())
}

/// Applies one entry of `patches`: a JSON patch for its target, or a file with objects to merge into those with the
/// same name.
fn patch_objects(directory: &str, change: &Value, objects: &mut [Value]) -> Result<(), String> {
    let fits = |object: &Value, target: &Value, name: &Value| {
        object["kind"] == target["kind"] && object["metadata"]["name"] == *name
    };
    if let Some(path) = change["path"].as_str() {
        for over in documents(&resolved(directory, path))? {
            let name = &over["metadata"]["name"];
            objects
                .iter_mut()
                .filter(|object| fits(object, &over, name))
                .for_each(|object| patch::merge(object, &over));
        }
        return Ok(());
    }
    let text = change["patch"].as_str().unwrap_or_default();
    let steps = yaml::read_all(text, Numbers::Whole).map_err(|_| format!("failed to read a patch of `{directory}`"))?;
    let target = &change["target"];
    let mut hit = objects.iter_mut().filter(|object| fits(object, target, &target["name"]));
    hit.try_for_each(|object| steps.iter().try_for_each(|steps| patch::apply(object, steps)))
}

/// Resolves `../../base` relative to `overlays/calico`.
fn resolved(directory: &str, name: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').collect();
    for part in name.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn for_each_container(objects: &mut [Value], mut change: impl FnMut(&mut Value)) {
    for list in ["/spec/template/spec/initContainers", "/spec/template/spec/containers"] {
        let lists = objects.iter_mut().filter_map(|object| object.pointer_mut(list)?.as_array_mut());
        lists.flatten().for_each(&mut change);
    }
}

/// Appends flags to the agent's arguments. A base ARN among them replaces the discovered one.
fn append(objects: &mut [Value], flags: &[&str]) {
    let Some(agent) = objects.iter_mut().find_map(|object| object.pointer_mut(AGENT)) else { return };
    if let Some(args) = agent["args"].as_array_mut() {
        args.extend(flags.iter().map(|flag| json!(flag)));
    }
    let names_base = |flag: &&str| flag.starts_with("--base-role-arn") || flag.starts_with("--auto-discover-base-arn");
    if !flags.iter().any(names_base) {
        return;
    }
    let variables = agent["env"].as_array_mut().into_iter().flatten();
    variables
        .filter(|one| one["name"] == BASE_ARN_VARIABLE)
        .for_each(|one| one["value"] = json!("--auto-discover-base-arn=false"));
}

const AGENT: &str = "/spec/template/spec/containers/0";
/// The variable in the base that contains an argument.
const BASE_ARN_VARIABLE: &str = "KUBE2IAM_BASE_ARN_FLAG";
/// Kinds of the base that aren't namespaced.
const CLUSTER_WIDE: [&str; 2] = ["ClusterRole", "ClusterRoleBinding"];
