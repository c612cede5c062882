//! How a stage is run, and what it may come to.

/// How it is chosen who runs next.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// One that reaches a bell hands the baton over this often, out of 16.
    pub interrupted: u64,
    /// Everybody has a rank that hardly ever changes, so that some starve as long as they can. Else all are equal.
    pub ranks: bool,
}

/// A broken promise: which, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    pub promise: &'static str,
    pub text: String,
}
