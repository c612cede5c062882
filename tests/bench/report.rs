//! What was measured, line by line, and whether it keeps its target.

/// Collects and prints.
#[derive(Default)]
pub struct Report {
    missed: usize,
}

/// What a number should be.
#[derive(Clone, Copy)]
pub enum Target {
    /// Nothing was promised.
    None,
    AtLeast(f64),
    AtMost(f64),
}

impl Report {
    pub fn begin(&self, scene: &str) {
        println!("\n{scene}");
    }

    /// One number, with its unit.
    pub fn number(&mut self, what: &str, value: f64, unit: &str, target: Target) {
        let (kept, wanted) = match target {
            Target::None => (true, String::new()),
            Target::AtLeast(least) => (value >= least, format!("at least {}", short(least))),
            Target::AtMost(most) => (value <= most, format!("at most {}", short(most))),
        };
        self.missed += usize::from(!kept);
        let verdict = match (target, kept) {
            (Target::None, _) => "",
            (_, true) => "kept, ",
            (_, false) => "MISSED, ",
        };
        println!("  {what:<58} {:>10} {unit:<10} {verdict}{wanted}", short(value));
    }

    /// A scene that can't be played here.
    pub fn left_out(&self, why: &str) {
        println!("  SKIPPED, not measured here: {why}");
    }

    pub fn missed(&self) -> usize {
        self.missed
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
