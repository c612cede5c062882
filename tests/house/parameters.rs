//! No function takes a bool: `redirect(&report, true)` says nothing where it stands. Closures may, and fields.

use super::{complain, sources};

#[test]
fn no_function_takes_a_bool() {
    let mut faults = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        for (name, parameters) in signatures(&source.whole) {
            if parameters.iter().any(|kind| kind.split(|c: char| !c.is_alphanumeric()).any(|word| word == "bool")) {
                faults.push(format!("{}: `{name}` takes a bool; an enum says what it means", source.path));
            }
        }
    }
    complain(&faults);
}

/// Functions and the types of their parameters; of one that is a function itself, what it is called with doesn't count.
fn signatures(text: &str) -> Vec<(&str, Vec<String>)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let starts = lines.filter_map(|line| Some(line.split_once("fn ")?.1).filter(|_| declares_function(line)));
    starts
        .filter_map(|start| {
            let name = start.split(['(', '<']).next()?;
            let from = start.as_ptr() as usize - text.as_ptr() as usize;
            Some((name, parameters(&text[from + name.len()..])?))
        })
        .collect()
}

/// Told by rustfmt's order of words.
fn declares_function(line: &str) -> bool {
    let before = line.trim_start().split("fn ").next().unwrap_or_default();
    before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["const", "unsafe", "in", "async"].contains(&word) || word.ends_with(')')
    })
}

/// The types between the parentheses that follow, outside of any others.
fn parameters(text: &str) -> Option<Vec<String>> {
    let open = text.find('(')?;
    let (mut depth, mut shown) = (0_usize, String::new());
    for c in text[open..].chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 1 => shown.push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    Some(
        shown
            .split(": ")
            .skip(1)
            .map(|rest| rest.split(", ").next().unwrap_or(rest).split("->").next().unwrap_or_default().to_owned())
            .collect(),
    )
}

#[test]
fn a_bool_is_found_wherever_it_stands() {
    let found = |text: &str| {
        let all = signatures(text);
        assert_eq!(all.len(), 1, "{text}");
        all[0].1.iter().any(|kind| kind.contains("bool"))
    };
    for text in [
        "fn of(allowed: bool) -> Self {",
        "    pub(in crate::api) fn of<T: Ord>(&self, it: &T, allowed: bool) {",
        "fn of(\n    name: &str,\n    allowed: &mut bool,\n) {",
        "fn of(allowed: Option<bool>) {",
    ] {
        assert!(found(text), "{text}");
    }
    for text in [
        "fn of(test: impl Fn(&str) -> bool, name: &str) -> bool {",
        "fn is(&self) -> bool {",
        "fn a(b: &(dyn Fn() -> bool)) {",
    ] {
        assert!(!found(text), "{text}");
    }
}
