//! The pages: the README, what is under `manifests/docs` and `.github`, and the chart's own.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file.
pub(crate) struct Page {
    /// From the top of the project
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that users read.
pub(crate) fn all() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "manifests/chart/kube2iam/README.md"].map(PathBuf::from).into();
    for folder in ["manifests/docs", ".github"] {
        let entries = fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.extend(pages.map(|path| path.strip_prefix(top()).unwrap().to_owned()));
    }
    paths.sort();
    paths.iter().map(|path| read(path.to_str().unwrap())).collect()
}

pub(crate) fn read(name: &str) -> Page {
    let text = fs::read_to_string(top().join(name)).unwrap_or_else(|cause| panic!("failed to read `{name}`: {cause}"));
    Page { name: name.to_owned(), text }
}

impl Page {
    /// Whether the page is one of `manifests/docs`.
    pub(crate) fn is_of_docs(&self) -> bool {
        self.name.starts_with("manifests/docs/")
    }

    pub(crate) fn folder(&self) -> &Path {
        Path::new(&self.name).parent().unwrap()
    }

    /// The lines outside of fenced blocks.
    pub(crate) fn prose(&self) -> impl Iterator<Item = &str> {
        let mut fenced = false;
        self.text.lines().filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
    }

    /// Headings with their depth.
    pub(crate) fn headings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose().filter(|line| line.starts_with('#')).map(|line| {
            let depth = line.len() - line.trim_start_matches('#').len();
            (depth, line[depth..].trim())
        })
    }

    /// What a link to a heading of this page says behind `#`.
    pub(crate) fn anchors(&self) -> Vec<String> {
        self.headings().map(|(_, heading)| anchor(heading)).collect()
    }

    /// The targets of all links.
    pub(crate) fn links(&self) -> Vec<&str> {
        let link =
            |line| str::split(line, "](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        self.prose().flat_map(link).collect()
    }

    /// What stands in single backticks.
    pub(crate) fn code_spans(&self) -> Vec<&str> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }

    /// The fenced blocks, without the indentation of a list that they stand in.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut indent = None;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            match (indent, fence) {
                (None, Some(language)) => {
                    indent = Some(line.len() - line.trim_start().len());
                    blocks.push(Block { language: language.to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => indent = None,
                (Some(indent), None) => {
                    blocks.last_mut().unwrap().text += &format!("{}\n", line.get(indent..).unwrap_or(""));
                }
                (None, None) => {}
            }
        }
        blocks
    }
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn anchors_are_githubs() {
    let page =
        Page { name: "p.md".into(), text: "# From kube2iam: change it\n## `a_b` isn't\n```\n# no\n```\n".into() };
    assert_eq!(page.anchors(), ["from-kube2iam-change-it", "a_b-isnt"]);
}
