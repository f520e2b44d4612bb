//! The one error of every constructor of a request: which field, which value, which limit.

use std::fmt;

use super::limits::Limit;

/// Longest piece of an offending value that is shown back.
const SHOWN_CHARS: usize = 64;

/// Why a value was refused; each has a stable code for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Outside the allowed range.
    OutOfRange,
    /// Of the wrong kind or not readable as what it should be.
    Malformed,
    /// Prompt and budget together exceed the model's window.
    WindowExceeded,
    /// More bytes or seconds than are taken.
    TooLarge,
}

impl Reason {
    /// Stable code, part of the API.
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

/// A refused value. Safe to show to the caller: it holds nothing but what the caller sent and a public limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} is not allowed; the limit is {limit}")]
pub struct Invalid {
    /// Path of the field in the request, such as `context_segments[1].audio`.
    pub field: String,
    /// The value as received, cut to a readable length.
    pub value: String,
    /// What would have been allowed.
    pub limit: String,
    /// Why.
    pub reason: Reason,
    /// HTTP status that answers it.
    pub status: u16,
}

impl Invalid {
    /// A value outside a [`Limit`].
    #[must_use]
    pub fn outside(field: &str, value: impl fmt::Display, limit: &Limit) -> Self {
        let reason = if limit.status == 413 { Reason::TooLarge } else { Reason::OutOfRange };
        Self { field: field.into(), value: shown(value), limit: limit.describe(), reason, status: limit.status }
    }

    /// A value of the wrong kind; `expected` says what would have been right.
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

    /// The same refusal, one level further out: `audio` within `context_segments[1]`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// The value for a message: one line, cut with its true length named.
fn shown(value: impl fmt::Display) -> String {
    let text = value.to_string().replace(char::is_control, " ");
    let length = text.chars().count();
    if length <= SHOWN_CHARS {
        return text;
    }
    let head: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{head}… ({length} characters)")
}
