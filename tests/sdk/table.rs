//! The table of SDKs in `manifests/docs/sdks.md`, made of what a run showed.

use std::fs;

use crate::Told;
use crate::clients::Client;
use crate::scenes::SCENES;
use crate::tools::project;

/// Fails if the page says something else. With `KUBE2IAM_WRITE_README` set it writes the table.
pub fn compare(told: &[Told]) {
    let path = project().join("manifests/docs/sdks.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table of SDKs");
    let (found, after) = rest.split_once(END).expect("the table of SDKs has an end");
    let table = render(told);
    if std::env::var_os("KUBE2IAM_WRITE_README").is_some() {
        fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(found, table, "{AGAIN}");
}

/// A row for every scene and every way that it went; SDKs with which it went alike stand together.
fn render(told: &[Told]) -> String {
    let mut table = "\n| scene | SDK | asks for, and gets; then it |\n|---|---|---|\n".to_owned();
    for (index, scene) in SCENES.iter().enumerate() {
        let mut of_scene: Vec<&Told> = told.iter().filter(|told| told.scene == index).collect();
        of_scene.sort_by_key(|told| told.client as usize);
        let mut title = scene.title;
        while let Some(first) = of_scene.first().map(|told| told.text.clone()) {
            let (alike, others) = of_scene.into_iter().partition::<Vec<_>, _>(|told| told.text == first);
            let sdks: Vec<String> = alike.iter().map(|told| told.client.title()).collect();
            table += &format!("| {title} | {} | {first} |\n", sdks.join(", "));
            (of_scene, title) = (others, "");
        }
    }
    table + "\n" + &footnote()
}

fn footnote() -> String {
    format!("{} asks at `security-credentials-extended` first; no later release does.\n", Client::RustExtended.title())
}

const BEGIN: &str = "<!-- SDKs: written by tests/sdk.rs -->";
const END: &str = "<!-- end of SDKs -->";
const AGAIN: &str = "KUBE2IAM_WRITE_README=1 cargo test --test sdk writes it anew";
