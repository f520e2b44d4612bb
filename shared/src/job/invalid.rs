//! The error of every constructor of a request: which field, which value, which limit.

use std::fmt::{self, Write as _};

use super::limits::Limit;

/// Most characters of a refused value that an error message repeats.
const SHOWN_CHARS: usize = 64;

/// Reason for a refusal; each has a stable code for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Value outside the allowed range.
    OutOfRange,
    /// Value of the wrong kind, or one that cannot be parsed.
    Malformed,
    /// Prompt and budget that together exceed the model's window.
    WindowExceeded,
    /// More bytes or seconds than are accepted.
    TooLarge,
}

impl Reason {
    /// Returns the stable code, which is part of the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::Malformed => "malformed",
            Self::WindowExceeded => "window_exceeded",
            Self::TooLarge => "too_large",
        }
    }
}

/// A refused value. Safe to show to the caller, because it holds only the caller's input and a
/// public limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} is not allowed; the limit is {limit}")]
pub struct Invalid {
    /// Path of the field in the request, such as `context_segments[1].audio`.
    pub field: String,
    /// The value as received, cut to a readable length.
    pub value: String,
    /// Allowed values.
    pub limit: String,
    /// Reason for the refusal.
    pub reason: Reason,
    /// HTTP status of the refusal.
    pub status: u16,
}

impl Invalid {
    /// Describes a value outside a [`Limit`].
    #[must_use]
    pub fn outside(field: &str, value: impl fmt::Display, limit: &Limit) -> Self {
        let reason = if limit.status == 413 { Reason::TooLarge } else { Reason::OutOfRange };
        Self { field: field.into(), value: shown(value), limit: limit.describe(), reason, status: limit.status }
    }

    /// Describes a value of the wrong kind; `expected` names what is allowed.
    #[must_use]
    pub fn malformed(field: &str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            value: shown(value),
            limit: expected.into(),
            reason: Reason::Malformed,
            status: 422,
        }
    }

    /// Puts the field's path below `parent`: `audio` becomes `context_segments[1].audio`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// Formats the value for a message: one line, cut to [`SHOWN_CHARS`] with its full length added. An
/// empty value has a name, because a message with a gap is hard to read.
fn shown(value: impl fmt::Display) -> String {
    let mut cut = CutText::default();
    // Writing to a string does not fail.
    let _ = write!(cut, "{value}");
    match cut.length {
        0 => "(empty)".to_owned(),
        1..=SHOWN_CHARS => cut.head,
        length => format!("{}… ({length} characters)", cut.head),
    }
}

/// Beginning of a text that may be long, and the length of the whole.
#[derive(Default)]
struct CutText {
    /// First [`SHOWN_CHARS`] characters, with blanks for control characters.
    head: String,
    /// Characters of the whole text.
    length: usize,
}

impl fmt::Write for CutText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SHOWN_CHARS.saturating_sub(self.length);
        self.head.extend(text.chars().take(room).map(|char| if char.is_control() { ' ' } else { char }));
        self.length += text.chars().count();
        Ok(())
    }
}
