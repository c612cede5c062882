//! Finds the end of a value without parsing it, and keeps its bytes if it is wanted and within its limit.

use memchr::memchr2;

/// A partially received value or key.
#[derive(Debug, Default)]
pub(super) struct Value {
    /// Number of open brackets
    depth: u64,
    text: Text,
    kept: Vec<u8>,
    /// `None`: nothing is kept
    longest: Option<usize>,
    is_whole: bool,
}

/// The position relative to a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash
    Escaped,
}

/// How far a piece was consumed.
pub(super) struct Walked {
    pub(super) taken: usize,
    /// The value ends there
    pub(super) is_over: bool,
}

impl Value {
    /// Begins a value, keeping at most `longest` bytes.
    pub(super) fn begin(&mut self, longest: Option<usize>) {
        *self = Self { longest, is_whole: true, kept: std::mem::take(&mut self.kept), ..Self::default() };
        self.kept.clear();
    }

    /// Whether the value was kept completely, if it was wanted.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Ends the value and returns the kept bytes.
    pub(super) fn end(&mut self) -> Vec<u8> {
        self.longest = None;
        std::mem::take(&mut self.kept)
    }

    pub(super) fn walk(&mut self, piece: &[u8]) -> Walked {
        let walked = self.find_end(piece);
        if let Some(longest) = self.longest.filter(|_| self.is_whole) {
            if self.kept.len() + walked.taken > longest {
                self.is_whole = false;
                self.kept = Vec::new();
            } else {
                self.kept.extend_from_slice(&piece[..walked.taken]);
            }
        }
        walked
    }

    fn find_end(&mut self, piece: &[u8]) -> Walked {
        let mut at = 0;
        while at < piece.len() {
            match self.text {
                Text::Inside => at += self.walk_text(&piece[at..]),
                Text::Escaped => {
                    self.text = Text::Inside;
                    at += 1;
                    continue;
                }
                Text::Outside => {
                    let byte = piece[at];
                    match byte {
                        b'"' => self.text = Text::Inside,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' if self.depth > 0 => self.depth -= 1,
                        b'}' | b']' | b',' if self.depth == 0 => return Walked { taken: at, is_over: true },
                        _ if self.depth == 0 && byte.is_ascii_whitespace() => {
                            return Walked { taken: at, is_over: true };
                        }
                        _ => {
                            at += 1;
                            continue;
                        }
                    }
                    at += 1;
                    if matches!(byte, b'"' | b'{' | b'[') {
                        continue;
                    }
                }
            }
            if self.text == Text::Outside && self.depth == 0 {
                return Walked { taken: at, is_over: true };
            }
        }
        Walked { taken: at, is_over: false }
    }

    /// Consumes up to the string's closing quote or the next backslash.
    fn walk_text(&mut self, piece: &[u8]) -> usize {
        match memchr2(b'"', b'\\', piece) {
            Some(at) if piece[at] == b'"' => {
                self.text = Text::Outside;
                at + 1
            }
            Some(at) => {
                self.text = Text::Escaped;
                at + 1
            }
            None => piece.len(),
        }
    }
}
