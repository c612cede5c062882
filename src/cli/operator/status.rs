//! `kube2iam status`

use std::io::Write;

use super::socket::{Question, ask, form, path, shown};
use super::{Outcome, Verdict, say};
use crate::config::Words;

pub(super) fn run(words: &Words, output: &mut dyn Write) -> Outcome {
    let json = words.is_on("json");
    let answer = ask(path(words), &Question { method: "GET", path: "/status", parameters: &[form(json)] })?;
    say(output, &shown(&answer, json)?)?;
    Ok(Verdict::Good)
}
