//! What a person reads: indented, aligned, in colour where a terminal takes it, secrets never whole.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::standins::client::Answer;

/// Where it is written. A reader that goes away (`| head`) is no failure.
pub struct Page {
    out: Out,
    ink: Ink,
}

enum Out {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Colour,
}

impl Page {
    pub fn stdout() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: Out::Stdout, ink: if colour { Ink::Colour } else { Ink::Plain } }
    }

    pub fn stderr() -> Self {
        Self { out: Out::Stderr, ink: Ink::Plain }
    }

    pub fn line(&self, text: &str) {
        let _ = match self.out {
            Out::Stdout => writeln!(std::io::stdout(), "{text}"),
            Out::Stderr => writeln!(std::io::stderr(), "{text}"),
        };
    }

    pub fn heading(&self, text: &str) {
        self.line(&format!("{}\n", self.paint(BOLD, text)));
    }

    /// A line of the agent's own log, set apart by a bar.
    pub fn log_line(&self, text: &str) {
        self.line(&self.paint(DIM, &format!("  │ {text}")));
    }

    /// Who asks what, and why.
    pub fn question(&self, number: usize, why: &str, pod: &str, request: &str) {
        self.line(&format!("  {}  {}", self.paint(DIM, &number.to_string()), self.paint(BOLD, why)));
        self.line(&format!("     {pod:<POD_WIDTH$}  {request}"));
    }

    pub fn answer(&self, answer: &Answer) {
        let colour = if answer.status < 400 { GREEN } else { YELLOW };
        let status = self.paint(colour, &format!("{:<POD_WIDTH$}", answer.status));
        let body = readable(answer);
        let mut lines = body.lines();
        self.line(&format!("     {status}  {}", lines.next().unwrap_or("(no body)")));
        for line in lines {
            self.line(&format!("     {:POD_WIDTH$}  {line}", ""));
        }
        self.line("");
    }

    /// A command, and what it prints.
    pub fn explanation(&self, command: &str, printed: &str) {
        self.heading("Why was that pod refused?");
        self.line(&format!("  $ {}", self.paint(BOLD, command)));
        for line in printed.lines() {
            self.line(&format!("  {line}"));
        }
        self.line("");
    }

    pub fn misstep(&self, wanted: u16) {
        self.line(&self.paint(RED, &format!("     that should have been {wanted}\n")));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.ink {
            Ink::Plain => text.to_owned(),
            Ink::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// A body for the eye: JSON one field a line, long secrets cut.
fn readable(answer: &Answer) -> String {
    let text = answer.text();
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(fields)) => {
            let width = fields.keys().map(String::len).max().unwrap_or(0);
            let lines = fields.iter().map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), |text| shown(name, text));
                format!("{name:<width$}  {value}")
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        _ if is_token(&text) => shorten(&text),
        _ => text,
    }
}

/// A session token is one long word; nothing else in the play is.
fn is_token(text: &str) -> bool {
    text.len() >= 40 && !text.contains(char::is_whitespace)
}

fn shown(field: &str, text: &str) -> String {
    if SECRETS.contains(&field) { shorten(text) } else { text.to_owned() }
}

fn shorten(secret: &str) -> String {
    let start: String = secret.chars().take(SHOWN).collect();
    format!("{start}…  ({} characters)", secret.chars().count())
}

const SECRETS: [&str; 2] = ["SecretAccessKey", "Token"];
/// Characters of a secret that are shown.
const SHOWN: usize = 6;
/// Room for the longest pod's name.
pub const POD_WIDTH: usize = 12;
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
