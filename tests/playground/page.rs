//! What a person reads: at most 80 columns, indented, in colour where a terminal takes it, secrets never whole.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::standins::client::Answer;

/// Standard output. A reader that goes away (`| head`) is no failure.
pub struct Page {
    ink: Ink,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Colour,
}

impl Page {
    pub fn stdout() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { ink: if colour { Ink::Colour } else { Ink::Plain } }
    }

    pub fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    pub fn heading(&self, text: &str) {
        self.line(&format!("{}\n", self.paint(BOLD, text)));
    }

    /// A text of any length, broken between words.
    pub fn text(&self, text: &str) {
        for line in text.lines() {
            self.wrapped("  ", line, "");
        }
    }

    /// A line of the agent's own log, set apart by a bar.
    pub fn log_line(&self, text: &str) {
        for line in wrap(text, WIDTH - 4, "") {
            self.line(&self.paint(DIM, &format!("  │ {line}")));
        }
        self.line("");
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
        let room = WIDTH - POD_WIDTH - 7;
        let lines: Vec<String> = body.lines().flat_map(|line| wrap(line, room, "")).collect();
        let mut lines = lines.iter().map(String::as_str);
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
            self.wrapped("  ", line, HANGING);
        }
        self.line("");
    }

    pub fn wrong(&self, wanted: u16) {
        self.line(&self.paint(RED, &format!("     that should have been {wanted}\n")));
    }

    /// What has become of something.
    pub fn effect(&self, subject: &str, state: &str, mood: Mood) {
        let colour = match mood {
            Mood::Good => GREEN,
            Mood::Bad => YELLOW,
        };
        self.line(&format!("  {subject:<POD_WIDTH$}  {}", self.paint(colour, state)));
    }

    /// Where a line is broken, the rest stands further in.
    fn wrapped(&self, indent: &str, text: &str, hanging: &str) {
        let own: String = text.chars().take_while(|c| *c == ' ').collect();
        let room = WIDTH - indent.len() - own.len();
        for (nth, line) in wrap(text.trim_start(), room, hanging).iter().enumerate() {
            let hanging = if nth == 0 { "" } else { hanging };
            self.line(&format!("{indent}{own}{hanging}{line}"));
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.ink {
            Ink::Plain => text.to_owned(),
            Ink::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Good,
    Bad,
}

/// Breaks a line between words, with less room from its second part on; spaces inside stay, and a word that is longer
/// than the room stands alone.
fn wrap(text: &str, room: usize, hanging: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let room = if lines.len() == 1 { room } else { room - hanging.len() };
        let line = lines.last_mut().expect("never empty");
        if line.chars().count() + word.trim_end().chars().count() > room && !line.is_empty() {
            line.truncate(line.trim_end().len());
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    lines
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
/// What a terminal shows at least.
const WIDTH: usize = 80;
/// Of a line of an explanation that is broken.
const HANGING: &str = "        ";
/// Room for the longest pod's name.
pub const POD_WIDTH: usize = 12;
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
