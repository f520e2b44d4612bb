//! Errors with their causes as text, for the last line of a program that fails.

use std::error::Error;

/// Causes that are shown at most.
const CAUSES_MAX: usize = 8;

/// Formats an error and its causes as one line. A cause that the text already names is left out,
/// because many errors repeat their cause.
#[must_use]
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()).take(CAUSES_MAX) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start: {0}")]
    struct Repeating(#[source] Silent);

    #[derive(Debug, thiserror::Error)]
    #[error("no such folder\n  at all")]
    struct Silent(#[source] std::fmt::Error);

    #[test]
    fn each_cause_is_said_once() {
        let said = in_one_line(&Repeating(Silent(std::fmt::Error)));
        assert_eq!(said, format!("cannot start: no such folder at all: {}", std::fmt::Error));
    }
}
