//! Text to speak, from items of a conversation.

use csm_shared::job::Invalid;
use csm_shared::job::limits::{Limit, TEXT_CHARS};

use crate::message_fields::MessageFields;

/// Characters of the input of one response.
const INPUT_CHARS: Limit = Limit { min: 1, max: 50_000, unit: "characters", status: TEXT_CHARS.status };

/// Text of messages that are not spoken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InputText(String);

impl InputText {
    /// Adds the text of an item: a message of the user with parts of the type `input_text`.
    pub(super) fn push(&mut self, item: &MessageFields<'_>) -> Result<(), Invalid> {
        if item.string("type")? != Some("message") {
            return Err(item.refuse("type", "message"));
        }
        if item.string("role")? != Some("user") {
            return Err(item.refuse("role", "user"));
        }
        let parts = item.objects("content")?;
        if parts.is_empty() {
            return Err(item.refuse("content", "a list of parts of the type input_text"));
        }
        let mut text = self.0.clone();
        for part in parts {
            if part.string("type")? != Some("input_text") {
                return Err(part.refuse("type", "input_text"));
            }
            let more = part.string("text")?.ok_or_else(|| part.missing("text", "a string"))?;
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(more);
        }
        let chars = text.chars().count() as u64;
        if chars > INPUT_CHARS.max {
            return Err(item.name("content")(Invalid::outside("", chars, &INPUT_CHARS)));
        }
        self.0 = text;
        Ok(())
    }

    /// Returns the text of `input`, or takes what the conversation holds if there is no `input`.
    pub(super) fn of_response(response: &MessageFields<'_>, conversation: &mut Self) -> Result<String, Invalid> {
        let mut input = Self::default();
        let items = response.objects("input")?;
        for item in &items {
            input.push(item)?;
        }
        if items.is_empty() {
            input = std::mem::take(conversation);
        }
        if input.0.trim().is_empty() {
            return Err(response.missing("input", "a message with text"));
        }
        Ok(input.0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;

    fn message(text: &str) -> Value {
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
    }

    #[test]
    fn text_comes_from_the_input_or_from_the_conversation() {
        let mut conversation = InputText::default();
        conversation.push(&MessageFields::of(&message("One."))).unwrap();
        conversation.push(&MessageFields::of(&message("Two."))).unwrap();
        let of = |response: Value, conversation: &mut InputText| {
            InputText::of_response(&MessageFields::of(&response), conversation).map_err(|invalid| invalid.field)
        };
        assert_eq!(of(json!({"input": [message("Three.")]}), &mut conversation), Ok("Three.".to_owned()));
        assert_eq!(of(json!({}), &mut conversation), Ok("One.\nTwo.".to_owned()));
        assert_eq!(of(json!({}), &mut conversation), Err("input".to_owned()), "what was spoken is gone");
        let long = message(&"a".repeat(50_001));
        assert_eq!(InputText::default().push(&MessageFields::of(&long)).unwrap_err().field, "content");
    }
}
