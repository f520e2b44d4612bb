//! Warnings about the input of an accepted request.

use serde::{Deserialize, Serialize};

/// Most warnings about one request. Their JSON takes at most 8 KiB.
pub const INPUT_WARNINGS_MAX: usize = 16;
/// Most characters of a warning's message.
const MESSAGE_CHARS_MAX: usize = 300;
/// Most characters of a field's path.
const FIELD_CHARS_MAX: usize = 64;
/// Message in the place of those beyond [`INPUT_WARNINGS_MAX`].
const LEFT_OUT: &str = "further warnings are left out";

/// Remark on an input that was accepted, although not all of it is used as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputWarning {
    /// Path of the field in the request, such as `context_segments[1].audio`.
    pub field: String,
    /// Sentence for the caller.
    pub message: String,
}

/// Warnings about one request, at most [`INPUT_WARNINGS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputWarnings(Vec<InputWarning>);

impl InputWarnings {
    /// Adds warnings about a field. The last one that has room says that others are left out.
    pub fn add(&mut self, field: &str, messages: Vec<String>) {
        for message in messages {
            let message = match self.0.len() + 1 {
                INPUT_WARNINGS_MAX => LEFT_OUT,
                ..INPUT_WARNINGS_MAX => message.as_str(),
                _ => return,
            };
            self.0
                .push(InputWarning { field: line(field, FIELD_CHARS_MAX), message: line(message, MESSAGE_CHARS_MAX) });
        }
    }

    /// Returns the warnings, in the order of the fields.
    #[must_use]
    pub fn as_slice(&self) -> &[InputWarning] {
        &self.0
    }

    /// Returns true if there is no warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns the text on one line, cut to a number of characters.
fn line(text: &str, chars_max: usize) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded_and_the_last_one_says_so() {
        let mut warnings = InputWarnings::default();
        for index in 0..100 {
            warnings.add(&format!("a[{index}]\n{}", "b".repeat(1_000)), vec!["ü\r\n".repeat(1_000)]);
        }
        assert_eq!(warnings.as_slice().len(), INPUT_WARNINGS_MAX);
        let [first, .., last] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(first.field.starts_with("a[0] bbb") && first.field.chars().count() == FIELD_CHARS_MAX, "{first:?}");
        assert!(first.message.starts_with("ü  ü  ") && first.message.chars().count() == MESSAGE_CHARS_MAX, "{first:?}");
        assert!(last.field.starts_with("a[15]") && last.message == LEFT_OUT, "{last:?}");
    }

    #[test]
    fn the_json_is_a_list_of_field_and_message() {
        let mut warnings = InputWarnings::default();
        assert!(warnings.is_empty());
        warnings.add("audio", vec!["it ends early".into(), "it is loud".into()]);
        let json = r#"[{"field":"audio","message":"it ends early"},{"field":"audio","message":"it is loud"}]"#;
        assert_eq!(serde_json::to_string(&warnings).ok().as_deref(), Some(json));
        assert_eq!(serde_json::from_str(json).ok(), Some(warnings));
    }
}
