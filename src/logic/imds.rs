//! What the EC2 metadata service says, understood.

/// Why the metadata service gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImdsFailure {
    /// The status it answered with, if it answered
    pub status: Option<u16>,
    pub cause: String,
}
