//! The YAML blocks of pages under `manifests/docs`: each fits Kubernetes' schemas, each kustomization is rendered.

use std::fs;

use serde_json::Value;

use crate::{kustomize, schema_faults, tools};

const PAGES: [&str; 3] = ["container-credentials.md", "install.md", "web-identity.md"];

pub(crate) struct Page(String);

pub(crate) fn read(name: &str) -> Page {
    Page(fs::read_to_string(tools::project().join("manifests/docs").join(name)).unwrap())
}

impl Page {
    /// The text of every block in this language, without the indentation of a list that it stands in.
    fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        let mut indent = None;
        for line in self.0.lines() {
            match indent {
                None if line.trim_start() == format!("```{language}") => {
                    indent = Some(line.len() - line.trim_start().len());
                    blocks.push(String::new());
                }
                Some(_) if line.trim_start() == "```" => indent = None,
                Some(indent) => *blocks.last_mut().unwrap() += &format!("{}\n", line.get(indent..).unwrap_or("")),
                None => {}
            }
        }
        blocks
    }

    /// The objects of every YAML block.
    pub(crate) fn yaml_blocks(&self) -> Vec<Value> {
        self.blocks("yaml").iter().flat_map(|text| kustomize::objects(text)).collect()
    }
}

#[test]
fn every_object_of_a_page_fits_kubernetes_schemas() {
    let Some(python) = tools::python() else { return };
    for name in PAGES {
        let objects = read(name).yaml_blocks();
        let whole = objects.iter().filter(|object| object["kind"].is_string() && object["kind"] != "Kustomization");
        let faults = schema_faults(&python, whole.map(|object| (name, object)));
        assert_eq!(faults, Vec::<String>::new());
    }
}

#[test]
fn every_kustomization_of_a_page_can_be_rendered() {
    let mut count = 0;
    for name in PAGES {
        for text in read(name).blocks("yaml").into_iter().filter(|text| text.contains("kind: Kustomization")) {
            let Some(rendered) = kustomize::render_text(&text) else { return };
            assert!(rendered.iter().any(|object| object["kind"] == "DaemonSet"), "{text}");
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}
